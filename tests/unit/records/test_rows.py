"""Promises of fscache.records.rows."""

from __future__ import annotations

import pytest

from fscache.records import schema
from fscache.records.rows import NEW_ENTRY, NEW_OBJECT, add_new, host_of, round_up


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 200])
def test_new_rows_are_all_there_once(count: int) -> None:
    objects = [(f"{number:020x}", number, 4096, 1.5, 2.5) for number in range(count)]
    entries = [
        ("url", f"https://host/{number}", "host", address, size, 4096, 1.5, 2.5, "ann@host")
        for number, (address, size, *_) in enumerate(objects)
    ]
    db = schema.create("")
    try:
        add_new(db, NEW_OBJECT, [*objects, *objects[:40]])
        add_new(db, NEW_ENTRY, entries)
        assert db.execute("SELECT * FROM objects").fetchall() == [(*o, 0, 0) for o in objects]
        found = db.execute("SELECT * FROM entries ORDER BY id").fetchall()
        assert [row[1:] for row in found] == entries
    finally:
        db.close()


def test_bytes_on_the_disk_are_whole_blocks() -> None:
    assert [round_up(size, 4096) for size in (0, 1, 4096, 4097)] == [0, 4096, 4096, 8192]


def test_sums_are_by_host_and_store() -> None:
    assert host_of("url", "https://Host:8443/a/b") == "host:8443"
    assert host_of("url", "file:///a/b") == ""
    assert host_of("kv", "store/a/b") == "store"
    assert host_of("task", "id") == ""
