"""Promises of fscache.objects.walk: every object once, in order; everything else is a stray."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from fscache.objects.layout import Split
from fscache.objects.walk import Walk

if TYPE_CHECKING:
    from pathlib import Path

SPLITS = ["4+4+12", "2+18", "20", "1+2+3+14", "4+16"]


def make(top: Path, relative: str) -> None:
    path = top / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def walked(top: Path, split: str, *left: str) -> tuple[list[str], list[str]]:
    strays: list[str] = []
    walk = Walk(
        str(top), Split.parse(split), left=[Split.parse(each) for each in left], stray=strays.append
    )
    found = [each for batch in walk.objects() for each in batch]
    for each in found:
        assert os.stat(each.path).st_ino == each.status.st_ino
    return [each.address for each in found], sorted(os.path.relpath(path, top) for path in strays)


@pytest.mark.parametrize("split", SPLITS)
def test_objects_come_once_and_in_order(tmp_path: Path, split: str) -> None:
    numbers = random.Random(2)
    addresses = [f"{numbers.getrandbits(80):020x}" for _ in range(300)]
    for address in addresses:
        make(tmp_path, Split.parse(split).relative(address))
    slots = [f"{address}-{slot}" for address in addresses[:5] for slot in (1, 12)]
    for slot in slots:
        make(tmp_path, Split.parse(split).relative(slot[:20], int(slot[21:])))
    assert walked(tmp_path, split) == (sorted(addresses + slots), [])


def test_what_is_no_object_is_a_stray(tmp_path: Path) -> None:
    good = Split.parse("4+4+12").relative("0123456789abcdef0123")
    make(tmp_path, good)
    strays = [
        "readme", "abcd", "0123/note", "0123/4567/89ABCDEF0123", "0123/4567/89abcdef0123-0",
        "0123/4567/89abcdef0123-100", "0123/4567/89abcdef0123.tmp", "0123/4567/short",
    ]  # fmt: skip
    for stray in strays:
        make(tmp_path, stray)
    os.symlink("/etc/passwd", tmp_path / "0123/4567/aaaaaaaaaaaa")
    os.mkdir(tmp_path / "0123/4567/bbbbbbbbbbbb")
    make(tmp_path, "not hex at all/file")
    expected = [*strays, "0123/4567/aaaaaaaaaaaa", "0123/4567/bbbbbbbbbbbb", "not hex at all"]
    assert walked(tmp_path, "4+4+12") == (["0123456789abcdef0123"], sorted(expected))


@pytest.mark.parametrize("old", SPLITS)
@pytest.mark.parametrize("new", SPLITS)
def test_a_split_of_before_is_no_stray(tmp_path: Path, old: str, new: str) -> None:
    if old == new:
        return
    numbers = random.Random(3)
    addresses = [f"{numbers.getrandbits(80):020x}" for _ in range(50)]
    for address in addresses:
        make(tmp_path, Split.parse(old).relative(address))
        make(tmp_path, Split.parse(new).relative(address))
    assert walked(tmp_path, new, old) == (sorted(addresses), [])
    assert walked(tmp_path, old, new) == (sorted(addresses), [])
    assert walked(tmp_path, new)[1] != []


def test_no_directory_is_no_object(tmp_path: Path) -> None:
    assert walked(tmp_path / "nowhere", "4+4+12") == ([], [])
