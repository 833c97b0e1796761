"""Promises of fscache.records.segments: a reader sees every record once, and says when it cannot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.records.journal import PUT, URL, encode
from fscache.records.segments import (
    Follower,
    JournalGapError,
    Position,
    decode,
    ends,
    is_born,
    journal_id,
    read,
    segments,
    unread,
)

if TYPE_CHECKING:
    from fscache.records.root import Root


def record(name: str) -> bytes:
    return encode(PUT, URL, 1_700_000_000.0, name, "0" * 20, 5, "")


def names(found: tuple[list, int]) -> list[str]:
    return [each.name for each in found[0]]


@pytest.fixture
def directory(root: Root) -> str:
    return f"{root.path}/journal"


def write(directory: str, data: bytes, name: str = "h.0.00000001") -> None:
    with open(f"{directory}/{name}", "ab") as file:
        file.write(data)


@pytest.mark.parametrize("cut", range(1, len(record("last"))))
def test_a_torn_tail_is_left_for_the_next_time(directory: str, cut: int) -> None:
    first, last = record("first"), record("last")
    write(directory, first + last[:cut])
    found, end = read(directory, "h.0.00000001", 0)
    assert names((found, end)) == ["first"]
    assert end == len(first)
    write(directory, last[cut:])
    assert names(read(directory, "h.0.00000001", end)) == ["last"]


def test_a_torn_record_spoils_none_after_it_but_is_a_gap(directory: str) -> None:
    write(directory, record("one") + record("two")[:-3] + record("three"))
    with pytest.raises(JournalGapError, match="damaged"):
        read(directory, "h.0.00000001", 0)
    place = len(record("one") + record("two")[:-3])
    assert names(read(directory, "h.0.00000001", place)) == ["three"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"\n\n",
        b"\ngarbage",
        b"\n" + bytes(100),
        b"garbage",
        b"\n0123456789abcdef put url 1 - 0 - name",
    ],
)
def test_garbage_in_the_midst_is_a_gap(directory: str, garbage: bytes) -> None:
    write(directory, record("one") + garbage + record("two"))
    with pytest.raises(JournalGapError):
        read(directory, "h.0.00000001", 0)


def test_a_record_of_a_later_version_is_a_gap_and_no_crash() -> None:
    from xxhash import xxh3_64_hexdigest

    for rest in (b" put url", b" put url x - 0 - n", b" put url 1 - many - n", b""):
        assert decode(xxh3_64_hexdigest(rest).encode() + rest) is None


def test_reading_begins_between_records(directory: str) -> None:
    write(directory, record("one") + record("two"))
    with pytest.raises(JournalGapError, match="does not begin"):
        read(directory, "h.0.00000001", 5)


def status(directory: str, name: str, data: bytes) -> os.stat_result:
    write(directory, data, name)
    return os.stat(f"{directory}/{name}")


def test_what_has_grown_is_read_from_where_it_was(directory: str) -> None:
    first = status(directory, "a.0.00000001", b"x" * 10)
    second = status(directory, "b.0.00000001", b"x" * 20)
    present = {"a.0.00000001": first, "b.0.00000001": second}
    positions = {"a.0.00000001": Position(first.st_ino, 4)}
    assert unread(positions, present) == [("a.0.00000001", 4), ("b.0.00000001", 0)]
    positions["a.0.00000001"] = Position(first.st_ino, 10)
    assert unread(positions, present) == [("b.0.00000001", 0)]
    for gone in ({"b.0.00000001": second}, {}):
        with pytest.raises(JournalGapError, match="gone"):
            unread(positions, gone)
    for other in (Position(first.st_ino, 11), Position(first.st_ino + 1, 10)):
        with pytest.raises(JournalGapError, match="not the one"):
            unread({"a.0.00000001": other}, present)


def test_segments_are_found_among_other_files(directory: str) -> None:
    for name in ("h.0.00000002", "h.0.00000001", "h.5.00000001", "notes.txt"):
        write(directory, b"", name)
    os.mkdir(f"{directory}/h.6.00000001")
    os.symlink("notes.txt", f"{directory}/h.7.00000001")
    assert list(segments(directory)) == ["h.0.00000001", "h.0.00000002", "h.5.00000001"]
    assert segments(f"{directory}/nowhere") == {}


def test_a_fresh_root_has_a_complete_journal(directory: str) -> None:
    assert journal_id(directory)
    assert is_born(directory)
    os.unlink(f"{directory}/born")
    assert not is_born(directory)
    os.unlink(f"{directory}/complete")
    assert journal_id(directory) == ""
    assert not is_born(directory)


def test_whoever_begins_now_reads_no_half_record(directory: str) -> None:
    write(directory, record("one") + record("two")[:-1])
    positions = ends(directory)
    write(directory, record("two")[-1:] + record("three"))
    follower = Follower(directory, positions, journal_id(directory))
    assert [each.name for each in follower.read()] == ["two", "three"]
    assert list(follower.read()) == []


def test_a_follower_reads_what_comes_and_stops_where_the_journal_breaks_off(root: Root) -> None:
    directory = f"{root.path}/journal"
    follower = Follower(directory, {}, journal_id(directory))
    root.journal.append(PUT, URL, "one")
    assert [each.name for each in follower.read()] == ["one"]
    root.journal.append(PUT, URL, "two")
    assert [each.name for each in follower.read()] == ["two"]
    os.unlink(f"{directory}/complete")
    with pytest.raises(JournalGapError, match="not complete"):
        list(follower.read())
