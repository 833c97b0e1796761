"""Promises of fscache.objects.layout: pinned, because they are paths on disks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.errors import InvalidAddressError
from fscache.objects.digest import address_of, digest_of
from fscache.objects.layout import (
    ENTRY_SPLIT,
    MAX_SLOTS,
    OBJECT_SPLIT,
    Split,
    format_address,
    is_hex,
    parse_address,
)

ADDRESS = "0123456789abcdef0123"
addresses = st.text("0123456789abcdef", min_size=20, max_size=20)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"", "99aa/06d3/014798d86001"),
        (b"a", "a96f/af70/5af16834e6c6"),
        (b"fscache\n", "572a/2d05/6a4e081479b9"),
    ],
)
def test_where_the_object_of_some_bytes_lies(data: bytes, path: str) -> None:
    assert OBJECT_SPLIT.relative(address_of(digest_of(data))) == path


def test_the_splits_of_format_1() -> None:
    assert str(OBJECT_SPLIT) == "4+4+12"
    assert str(ENTRY_SPLIT) == "2+18"
    assert OBJECT_SPLIT.relative(ADDRESS) == "0123/4567/89abcdef0123"
    assert ENTRY_SPLIT.relative(ADDRESS) == "01/23456789abcdef0123"
    assert OBJECT_SPLIT.relative(ADDRESS, 7) == "0123/4567/89abcdef0123-7"
    assert ENTRY_SPLIT.relative(ADDRESS, 12) == "01/23456789abcdef0123-12"


@st.composite
def splits(draw: st.DrawFn) -> Split:
    cuts = sorted(draw(st.sets(st.integers(1, 19), max_size=6)))
    edges = [0, *cuts, 20]
    return Split(*(end - start for start, end in itertools.pairwise(edges)))


@given(splits(), addresses, st.integers(0, MAX_SLOTS - 1))
def test_every_split_gives_a_path_from_which_the_address_comes_back(
    split: Split, address: str, slot: int
) -> None:
    path = split.relative(address, slot)
    assert split.address(path) == (address, slot)
    assert Split.parse(str(split)) == split
    assert hash(Split.parse(str(split))) == hash(split)
    assert ".." not in path


@pytest.mark.parametrize("text", ["", "20+", "4+4", "4+4+13", "0+20", "-4+24", "4,4,12", "a", "+"])
def test_what_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its reader says what it was about
        Split.parse(text)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0123/4567/89abcdef012",
        "0123/4567/89abcdef01234",
        "0123/456789abcdef0123",
        "0123/4567/89ABCDEF0123",
        "0123/4567/89abcdef0123-",
        "0123/4567/89abcdef0123-0",
        "0123/4567/89abcdef0123-01",
        "0123/4567/89abcdef0123-1-1",
        "0123/4567/89abcdef0123-100",
        "0123/4567/89abcdef0123-x",
        "0123/4567/89abcdef0123-²",
        "0123/4567/89abcdef0123.tmp",
        "../4567/89abcdef0123",
        "/0123/4567/89abcdef0123",
    ],
)
def test_other_files_have_no_address(path: str) -> None:
    assert OBJECT_SPLIT.address(path) is None


@given(addresses, st.integers(0, MAX_SLOTS - 1))
def test_an_address_is_read_as_it_is_written(address: str, slot: int) -> None:
    assert parse_address(format_address(address, slot)) == (address, slot)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "../../../../etc/passwd",
        "0123456789abcdef012/",
        "..0123456789abcdef01",
        ADDRESS[:-1],
        ADDRESS + "0",
        ADDRESS.upper(),
        ADDRESS + "-",
        ADDRESS + "-0",
        ADDRESS + "-01",
        ADDRESS + "-100",
        ADDRESS + "--1",
        ADDRESS + "-1/../x",
        ADDRESS + "-²",
        ADDRESS + "\n",
        " " + ADDRESS,
        "0123456789abcdef012\x00",
        "x" * 100_000,
    ],
)
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidAddressError) as caught:
        parse_address(text)
    assert len(str(caught.value)) < 200


@given(st.text())
def test_hex_is_lower_case_digits_and_not_empty(text: str) -> None:
    assert is_hex(text) == (text != "" and all(char in "0123456789abcdef" for char in text))
