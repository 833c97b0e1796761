"""Promises of fscache.units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("7", 7),
        ("7B", 7),
        ("1k", 1000),
        ("1K", 1000),
        ("1kB", 1000),
        ("1Ki", 1024),
        ("1KiB", 1024),
        (" 1.5 GiB ", 1_610_612_736),
        ("500GB", 500_000_000_000),
        ("2T", 2 * 10**12),
        ("2TiB", 2 * 2**40),
        ("1PiB", 2**50),
        ("1e3", 1000),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert isinstance(parse_size(text), int)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1.5", 1.5),
        ("30s", 30),
        ("2m", 120),
        ("12h", 43200),
        ("30d", 2592000),
        ("1w", 604800),
        ("1 D", 86400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "B",
        "GiB",
        "-1",
        "1x",
        "1 GiB more",
        "nan",
        "inf",
        "1e999",
        "0x10",
        "1,5",
        "1e19",
        "²",
    ],
)
def test_what_is_no_size_or_duration_is_refused_and_quoted(text: str) -> None:
    for parse in (parse_size, parse_duration):
        with pytest.raises(ValueError, match="not a") as caught:
            parse(text)
        assert repr(text) in str(caught.value)


@given(st.text())
def test_any_text_is_a_number_in_range_or_refused(text: str) -> None:
    for parse in (parse_size, parse_duration):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert 0 <= value < 2**63


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1_500_000_000, "1.4 GiB"),
        (2**60, "1024.0 PiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_sizes_for_people(size: float, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (0.000_25, "250 µs"),
        (0.000_999_9, "1000 µs"),
        (0.001, "1 ms"),
        (0.5, "500 ms"),
        (1.234, "1.23 s"),
        (59, "59 s"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (259_200, "3 d"),
        (86_400 * 1500, "1500 d"),
        (-90, "-1.5 min"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
