"""Promises of fscache.admin.look: what is shown is what is there now."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from fscache.admin import look
from fscache.kv.local import LocalStore
from fscache.records.filters import parse_filter
from fscache.records.listing import Query
from fscache.records.root import Root
from fscache.urls.lease import leased
from tests.support.catalogs import DAY, age, entries_of, keep, keeper_of, objects_of, open_root
from tests.support.processes import ALICE, in_child

if TYPE_CHECKING:
    from fscache.objects.store import Stored
    from fscache.records.catalog import Catalog
    from fscache.records.listing import Row


@pytest.fixture
def stored(live: Root) -> list[Stored]:
    """Objects of 1000, 1001, … bytes, the later the younger."""
    made = [keep(live, bytes(1000 + n), f"https://host/{n}") for n in range(6)]
    for number, each in enumerate(made):
        age(live, each.path, (10 - number) * DAY)
    return made


def shown(root: Root, limit: int | None = None, **query: object) -> list[Row]:
    keeper = keeper_of(root)
    return keeper.ask(lambda catalog: list(look.find(keeper, catalog, Query(**query), limit)))  # type: ignore[arg-type]


def test_a_row_says_what_is_true_of_its_object_now(live: Root, stored: list[Stored]) -> None:
    keeper = keeper_of(live)
    keeper.pins.add("https://host/1", by="ann")
    keeper.pins.add(stored[2].address, by="ann")
    now = live.now()
    status = os.stat(stored[0].path)
    os.utime(stored[0].path, ns=(int(now * 1e9), status.st_mtime_ns))  # behind the catalog's back
    path = stored[3].path
    with leased(lambda: path):  # type: ignore[arg-type, return-value]
        rows = {row.name[-1]: row for row in shown(live)}
    assert rows["0"].accessed == pytest.approx(now, abs=1e-3)
    assert rows["0"].disk == status.st_blocks * 512
    assert [name for name, row in rows.items() if row.pinned] == ["2", "1"]
    assert [name for name, row in rows.items() if row.leased] == ["3"]
    assert rows["4"].leased is False


def test_the_order_by_last_access_is_of_the_times_that_are_shown(
    live: Root, stored: list[Stored]
) -> None:
    shown(live)  # the catalog knows all by now, and is told nothing of what follows
    for number in (1, 3):
        status = os.stat(stored[number].path)
        moment = int((live.now() + number) * 1e9)
        os.utime(stored[number].path, ns=(moment, status.st_mtime_ns))
    assert [row.name[-1] for row in shown(live, order="atime")] == list("315420")
    assert [row.name[-1] for row in shown(live, order="atime", reverse=True)] == list("024513")
    assert [row.name[-1] for row in shown(live, order="size")] == list("543210")


def test_what_is_gone_is_not_shown_and_others_take_its_place(
    live: Root, stored: list[Stored]
) -> None:
    for gone in (stored[5], stored[3]):
        os.unlink(gone.path)
    assert [row.size for row in shown(live, 3)] == [1004, 1002, 1001]
    # The catalog has learnt it: an old record of what is not there.
    assert keeper_of(live).ask(objects_of).keys() == {stored[n].address for n in (0, 1, 2, 4)}
    assert [row.size for row in shown(live)] == [1004, 1002, 1001, 1000]


def test_many_that_are_gone_are_passed_in_a_few_queries(live: Root, stored: list[Stored]) -> None:
    shown(live)
    with sqlite3.connect(f"{live.path}/catalog.sqlite") as db:
        db.executemany(
            "INSERT INTO objects VALUES (?, 1, 4096, 1.0, 1.0, 0, 0.0)",
            [(f"{number:020x}",) for number in range(2000)],
        )
    db.close()
    asked: list[str] = []

    def oldest(catalog: Catalog) -> list[Row]:
        catalog.db.set_trace_callback(lambda text: "OFFSET" in text and asked.append(text))
        return list(look.find(keeper_of(live), catalog, Query(order="age"), 2))

    assert {row.address for row in keeper_of(live).ask(oldest)} < {each.address for each in stored}
    assert len(asked) < 20
    assert len(keeper_of(live).ask(objects_of)) == len(stored)


def test_a_record_that_is_ahead_of_its_file_stays_in_the_catalog(live: Root) -> None:
    """A key-value's record comes before its entry: it may be there in a moment."""
    live.journal.append("put", "object", "0" * 20, "0" * 20, 5)
    assert shown(live) == []
    assert keeper_of(live).ask(objects_of) == {"0" * 20: 5}


@pytest.mark.parametrize("large", [False, True])
def test_a_key_whose_writer_was_killed_before_its_entry_was_there_is_not_shown(
    live: Root, large: bool
) -> None:
    LocalStore(live).put("first", "x")
    address = keep(live, bytes(100_000)).address if large else ""
    live.journal.append("put", "kv", "default/ghost", address, 10)
    assert [row.name for row in shown(live, kind="kv")] == ["default/first"]
    # It may be there in a moment; an old record is one of what is not there.
    assert ("kv", "default/ghost") in keeper_of(live).ask(entries_of)
    later = Root(live.path, now=lambda: live.now() + 2 * look.GHOST_AGE)
    assert [row.name for row in shown(later, kind="kv")] == ["default/first"]
    assert keeper_of(live).ask(entries_of) == {("kv", "default/first"): None}


def test_beyond_so_many_rows_the_catalog_is_believed(
    live: Root, stored: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "LOOKED_AT", 4)
    keeper_of(live).pins.add("https://host/1", by="ann")
    os.unlink(stored[5].path)
    rows = shown(live)
    assert [row.size for row in rows] == [1005, 1004, 1003, 1002, 1001, 1000]
    assert {row.leased for row in rows} == {None}
    assert [row.size for row in rows if row.pinned] == [1001]
    assert [row.leased for row in shown(live, 4)] == [False] * 4


def test_a_name_whose_bytes_are_no_utf_8_is_one_as_any_other(live: Root) -> None:
    store = LocalStore(live)
    store.put("one\udcff", "x")
    store.put("two\udcff", bytes(100_000))
    keep(live, b"of a user", "https://host/x", by="us\udcffer@host")
    names = {"default/one\udcff", "default/two\udcff", "https://host/x"}
    rows = {row.name: row for row in shown(live)}
    assert rows.keys() == names
    assert rows["https://host/x"].by == "us\udcffer@host"
    keeper_of(live).reindex()
    assert {row.name for row in shown(live)} == names
    found = shown(live, conditions=[parse_filter("name=default/one\udcff")])
    assert [row.name for row in found] == ["default/one\udcff"]
    found = shown(live, conditions=[parse_filter("name~\udcff"), parse_filter("size>9")])
    assert [row.name for row in found] == ["default/two\udcff"]
    store.put("two\udcff", "small by now")
    store.delete("one\udcff")
    assert [row.size for row in shown(live, kind="kv")] == [len("small by now")]


def test_values_without_an_object_are_shown_as_they_are(live: Root) -> None:
    LocalStore(live).put("small", "x")
    (row,) = shown(live)
    assert (row.kind, row.name, row.address, row.leased) == ("kv", "default/small", "", None)
    assert row.disk == os.statvfs(live.path).f_frsize


@pytest.mark.usefixtures("users")
def test_who_may_not_read_an_object_does_not_know_of_its_leases(open_tmp: str) -> None:
    def fill() -> str:
        return keep(open_root(f"{open_tmp}/cache"), b"theirs").path

    path = in_child(fill, umask=0o022)
    assert in_child(look.is_leased, path, uid=ALICE) is False
    os.chmod(path, 0o400)
    assert in_child(look.is_leased, path, uid=ALICE) is None
