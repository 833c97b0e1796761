"""Promises of fscache.records.fold: where records leave a doubt, the files decide."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from fscache.fs.lock import try_flock
from fscache.kv.local import LocalStore
from fscache.objects.digest import address_of, digest_of
from fscache.records.fold import BATCH_RECORDS, Batch, retirable
from fscache.records.journal import DELETE, KV, OBJECT, PURGE, PUT, TOUCH, URL
from fscache.records.root import Root
from fscache.records.segments import Position, Record
from fscache.urls.index import URLIndex
from tests.support.catalogs import (
    assert_catalog_is_true,
    entries_of,
    keep,
    keeper_of,
    objects_of,
)

if TYPE_CHECKING:
    from fscache.records.journal import Journal
    from tests.conftest import Clock

URL_A, URL_B = "https://host/a", "https://host/b"


def rows(root: Root, statement: str) -> list[tuple[object, ...]]:
    catalog = keeper_of(root).open()
    try:
        return catalog.db.execute(statement).fetchall()
    finally:
        catalog.close()


def test_puts_are_rows(root: Root, clock: Clock) -> None:
    first = keep(root, b"one", URL_A)
    clock.advance(10)
    second = keep(root, b"second")
    assert rows(root, "SELECT address, size, hits FROM objects ORDER BY size") == [
        (first.address, 3, 0),
        (second.address, 6, 0),
    ]
    assert rows(root, "SELECT kind, name, host, address, size, by FROM entries") == [
        ("url", URL_A, "host", first.address, 3, "ann@host")
    ]
    accessed = rows(root, "SELECT accessed, stored, verified FROM objects ORDER BY size")
    assert accessed == [(clock() - 10,) * 3, (clock(),) * 3]


def test_a_second_put_of_known_bytes_is_an_access(root: Root, clock: Clock) -> None:
    keep(root, b"one", URL_A)
    clock.advance(100)
    keep(root, b"one", URL_B)
    assert rows(root, "SELECT accessed - stored, hits FROM objects") == [(100.0, 0)]
    assert len(rows(root, "SELECT * FROM entries")) == 2


def test_touches_are_hits_and_accesses(root: Root, clock: Clock) -> None:
    stored = keep(root, b"one", URL_A)
    for _ in range(3):
        clock.advance(3600)
        root.journal.append(TOUCH, URL, URL_A, stored.address, 3)
    assert rows(root, "SELECT accessed - stored, hits FROM objects") == [(10800.0, 3)]
    clock.advance(3600)
    root.journal.append(TOUCH, URL, URL_A, stored.address, 3)
    assert rows(root, "SELECT accessed - stored, hits FROM objects") == [(14400.0, 4)]


def test_a_touch_of_something_unknown_makes_it_known_if_it_is_there(root: Root) -> None:
    stored = root.objects().put_bytes(b"brought by rsync")
    root.journal.append(TOUCH, URL, URL_A, stored.address, 16)
    root.journal.append(TOUCH, URL, URL_B, "0" * 20, 16)
    assert rows(root, "SELECT address, size FROM objects") == [(stored.address, 16)]


def test_who_has_recorded_and_not_yet_named_is_waited_for(root: Root, clock: Clock) -> None:
    """Or the catalog would never learn that the new object is named, and a purge would take it."""
    store = LocalStore(root)
    store.put("key", b"a" * 100_000)
    assert len(rows(root, "SELECT * FROM entries")) == 1
    recorded, go = threading.Event(), threading.Event()
    journal = root.journal

    class Slow:
        """The journal, and a writer that loses the processor just behind it."""

        def append(self, *record: Any) -> None:
            journal.append(*record)
            if record[1] == KV:
                recorded.set()
                assert go.wait(20)

    root._journal = cast("Journal", Slow())
    writer = threading.Thread(target=store.put, args=("key", b"b" * 100_000))
    writer.start()
    assert recorded.wait(20)
    found: list[tuple[object, ...]] = []
    other = Root(root.path, now=clock)
    reader = threading.Thread(
        target=lambda: found.extend(rows(other, "SELECT address FROM entries"))
    )
    reader.start()
    while reader.is_alive() and not _is_held(f"{root.path}/locks/gate"):
        time.sleep(0.001)
    go.set()
    writer.join(20)
    reader.join(20)
    assert found == [(address_of(digest_of(b"b" * 100_000)),)]


def _is_held(path: str) -> bool:
    fd = os.open(path, os.O_RDWR)
    try:
        return not try_flock(fd)
    finally:
        os.close(fd)


def test_a_forgotten_url_leaves_its_object(root: Root) -> None:
    stored = keep(root, b"one", URL_A)
    assert len(rows(root, "SELECT * FROM entries")) == 1
    URLIndex(root).forget(URL_A)
    assert rows(root, "SELECT * FROM entries") == []
    assert rows(root, "SELECT address FROM objects") == [(stored.address,)]


def test_a_removed_object_takes_its_entries_off_the_list(root: Root) -> None:
    stored = keep(root, b"one", URL_A)
    os.unlink(stored.path)
    root.journal.append(PURGE, OBJECT, stored.address, stored.address, 3)
    assert rows(root, "SELECT * FROM objects") == []
    assert rows(root, "SELECT * FROM entries") == []


@pytest.mark.parametrize("folds", [1, 2])
def test_a_record_of_a_removal_that_was_undone_changes_nothing(root: Root, folds: int) -> None:
    """Records of two processes have no order: the files decide."""
    stored = keep(root, b"one", URL_A)
    if folds == 2:
        assert_catalog_is_true(root)
    root.journal.append(DELETE, URL, URL_A)
    root.journal.append(PURGE, OBJECT, stored.address, stored.address, 3)
    assert_catalog_is_true(root)
    assert len(rows(root, "SELECT * FROM entries")) == 1


@pytest.mark.parametrize("folds", [1, 2])
def test_a_url_that_stands_for_other_bytes_now_is_looked_up(root: Root, folds: int) -> None:
    old = keep(root, b"old", URL_A)
    if folds == 2:
        assert_catalog_is_true(root)
    new = keep(root, b"new bytes", URL_A)
    # The record of the older put arrives late, with a clock that is ahead.
    root.journal.append(PUT, URL, URL_A, old.address, 3)
    assert rows(root, "SELECT name, address, size FROM entries") == [(URL_A, new.address, 9)]
    assert_catalog_is_true(root)


def test_a_put_whose_entry_never_came_is_listed_until_somebody_looks(root: Root) -> None:
    """One record too many is harmless; one too few would let a purge take the object."""
    stored = root.objects().put_bytes(b"one")
    root.journal.append(PUT, KV, "default/k", stored.address, 3)
    assert rows(root, "SELECT kind, name FROM entries") == [("kv", "default/k")]
    root.journal.append(DELETE, KV, "default/k")
    assert rows(root, "SELECT kind, name FROM entries") == []


def test_kinds_that_this_program_cannot_ask_are_believed(root: Root) -> None:
    stored = root.objects().put_bytes(b"one")
    root.journal.append(PUT, "odd", "x", stored.address, 3)
    assert rows(root, "SELECT kind, name FROM entries") == [("odd", "x")]
    root.journal.append(DELETE, "odd", "x")
    assert rows(root, "SELECT kind, name FROM entries") == []


def test_a_batch_keeps_the_newest_of_a_name_whatever_the_order() -> None:
    batch = Batch()
    old = Record(PUT, URL, 1.0, URL_A, "1" * 20, 1, "")
    new = Record(PUT, URL, 2.0, URL_A, "1" * 20, 1, "b@h")
    for record in (new, old):
        batch.add(record)
    assert batch.entries[URL, URL_A] is new
    assert batch.doubtful == {}
    batch.add(Record(PUT, URL, 3.0, URL_A, "2" * 20, 1, ""))
    assert batch.doubtful == {(URL, URL_A): 0.0}
    assert batch.objects["1" * 20] == [1, 2.0, 1.0]


def test_many_records_are_folded_in_pieces(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fscache.records.fold.BATCH_RECORDS", 3)
    assert BATCH_RECORDS > 3
    for number in range(10):
        keep(root, b"%d" % number, f"https://host/{number}")
    assert_catalog_is_true(root)


class Status:
    def __init__(self, size: int, mtime: float) -> None:
        self.st_size = size
        self.st_mtime = mtime


def test_only_segments_that_are_read_and_silent_are_retired() -> None:
    hour = 3600.0
    present = {
        "a.0.00000001": Status(10, -2 * hour),  # full, read, silent: goes
        "a.0.00000002": Status(10, -0.5 * hour),  # somebody may still write to it
        "a.0.00000003": Status(10, -2 * hour),  # not read to its end
        "a.0.00000004": Status(10, -2 * hour),  # the last of its chain
        "b.0.00000001": Status(10, -31 * 24 * hour),  # of a host that is no more: goes
    }
    positions = {name: Position(1, 10) for name in present}
    positions["a.0.00000003"] = Position(1, 5)
    assert retirable(positions, present, 0.0) == ["a.0.00000001", "b.0.00000001"]  # type: ignore[arg-type]
    assert retirable({}, present, 0.0) == []  # type: ignore[arg-type]


def test_folded_objects_are_those_on_the_disk(root: Root) -> None:
    for number in range(20):
        keep(root, b"%d" % number, *[f"https://host/{number}/{each}" for each in range(number % 3)])
    catalog = keeper_of(root).open()
    try:
        assert len(objects_of(catalog)) == 20
        assert len(entries_of(catalog)) == 19
    finally:
        catalog.close()
    assert_catalog_is_true(root)
