"""Promises of fscache.records.filters: what an administrator writes is what is asked."""

from __future__ import annotations

import pytest

from fscache.errors import InvalidFilterError
from fscache.records.filters import parse_filter, where


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size>1GiB", ("size", ">", 2.0**30)),
        ("size >= 500MB", ("size", ">=", 5e8)),
        ("disk<1", ("disk", "<", 1.0)),
        ("hits=0", ("hits", "=", 0.0)),
        ("hits!=0", ("hits", "!=", 0.0)),
        ("accessed>7d", ("accessed", ">", 7 * 86400.0)),
        ("stored<=12h", ("stored", "<=", 12 * 3600.0)),
        ("url~host/path", ("url", "~", "host/path")),
        ("url!~>1GiB", ("url", "!~", ">1GiB")),
        ("name=https://h/a?b=c d", ("name", "=", "https://h/a?b=c d")),
        (" kind = kv ", ("kind", "=", "kv")),
        ("by~ann@", ("by", "~", "ann@")),
    ],
)
def test_filters_are_read(text: str, expected: tuple[str, str, float | str]) -> None:
    found = parse_filter(text)
    assert (found.field, found.operator, found.value) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected field"),
        ("size", "expected field"),
        ("> 1", "expected field"),
        ("SIZE>1", "expected field"),
        ("colour=red", "no field 'colour'; there are size"),
        ("size>", "not a size"),
        ("size>big", "not a size"),
        ("size>-1", "not a size"),
        ("size>nan", "not a size"),
        ("size~1", "size is a number"),
        ("accessed>yesterday", "not a duration"),
        ("accessed!~7d", "accessed is a number"),
        ("url>a", "url is text"),
        ("url~", "there is no value"),
        ("kind=foo", "no kind 'foo'; there are object, url, kv, task"),
        ("kind!=KV", "no kind 'KV'"),
        ("size=>1", "not a size"),
        ("size>1; DROP TABLE objects", "not a size"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, why: str) -> None:
    with pytest.raises(InvalidFilterError, match=why) as caught:
        parse_filter(text)
    assert caught.value.text == text


def test_longer_ago_is_an_earlier_time() -> None:
    assert parse_filter("accessed>1h").sql(10_000.0) == ("accessed < ?", 6400.0)
    assert parse_filter("accessed<=1h").sql(10_000.0) == ("accessed >= ?", 6400.0)
    assert parse_filter("accessed=1h").sql(10_000.0) == ("accessed = ?", 6400.0)


def test_values_are_bound_and_never_part_of_the_text() -> None:
    conditions = [parse_filter("url~' OR 1=1 --"), parse_filter("size>3")]
    assert where(conditions, 0.0) == ("instr(name, ?) > 0 AND size > ?", ["' OR 1=1 --", 3.0])
    assert where([], 0.0) == ("", [])
