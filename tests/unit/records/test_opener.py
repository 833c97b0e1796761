"""Promises of fscache.records.opener, catalog and rebuild: the catalog is there whenever it is asked."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from fscache.admin.sources import sources
from fscache.errors import LockTimeoutError, RootPermissionError, StoreFullError
from fscache.records import fold, schema
from fscache.records.journal import COMPLETE, PUT, RENEW_INTERVAL, TOUCH, URL
from fscache.records.opener import Opener
from fscache.records.root import Root
from fscache.records.segments import is_born, journal_id, segments
from tests.support.catalogs import (
    assert_catalog_is_true,
    entries_of,
    keep,
    keeper_of,
    objects_of,
    objects_on_disk,
)
from tests.support.mounts import can_mount, with_read_only, with_tmpfs
from tests.support.processes import ALICE, in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.records.catalog import Catalog
    from tests.conftest import Clock

URLS = [f"https://host/{number}" for number in range(5)]


@pytest.fixture
def filled(root: Root) -> Root:
    for number, url in enumerate(URLS):
        keep(root, b"%d" % number * 100, url)
    keep(root, b"bare")
    return root


def catalog_path(root: Root) -> str:
    return f"{root.path}/catalog.sqlite"


def opened(root: Root) -> tuple[dict[str, int], list[str]]:
    """Return the objects of the catalog, and what was said when it was opened."""
    said: list[str] = []
    catalog = keeper_of(root, said).open()
    try:
        return objects_of(catalog), said
    finally:
        catalog.close()


def test_a_root_that_nobody_asked_about_has_no_catalog(filled: Root) -> None:
    assert not os.path.exists(catalog_path(filled))


def test_the_first_catalog_comes_from_the_journal_alone(
    filled: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def walk(*_arguments: object, **_options: object) -> None:
        raise AssertionError("nothing should be walked")

    monkeypatch.setattr("fscache.records.rebuild.rebuild", walk)
    assert opened(filled) == (objects_on_disk(filled), [])


def test_asking_again_writes_nothing(filled: Root) -> None:
    opened(filled)
    before = os.stat(catalog_path(filled))
    assert opened(filled)[1] == []
    after = os.stat(catalog_path(filled))
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_what_came_since_is_folded_in(filled: Root) -> None:
    opened(filled)
    keep(filled, b"later", "https://host/later")
    inode = os.stat(catalog_path(filled)).st_ino
    assert_catalog_is_true(filled)
    assert os.stat(catalog_path(filled)).st_ino == inode


@pytest.mark.parametrize(
    "lose",
    [
        lambda path: os.unlink(f"{path}/catalog.sqlite"),
        lambda path: shutil.rmtree(f"{path}/journal"),
        lambda path: (os.unlink(f"{path}/catalog.sqlite"), shutil.rmtree(f"{path}/journal")),
        lambda path: os.unlink(f"{path}/journal/complete"),
        lambda path: os.unlink(f"{path}/journal/{next(iter(segments(f'{path}/journal')))}"),
        lambda path: os.truncate(f"{path}/journal/{next(iter(segments(f'{path}/journal')))}", 10),
    ],
    ids=["catalog", "journal", "both", "complete", "segment", "cut"],
)
def test_losing_the_derived_files_loses_nothing(
    filled: Root, clock: Clock, lose: Callable[[str], object]
) -> None:
    opened(filled)
    lose(filled.path)
    clock.advance(RENEW_INTERVAL + 1)
    assert_catalog_is_true(filled)
    keep(filled, b"afterwards", "https://host/afterwards")
    assert_catalog_is_true(filled)
    assert journal_id(f"{filled.path}/journal")


def test_a_damaged_segment_makes_the_catalog_anew(filled: Root) -> None:
    opened(filled)
    (name,) = segments(f"{filled.path}/journal")
    with open(f"{filled.path}/journal/{name}", "ab") as file:
        file.write(b"\ngarbage")
    keep(filled, b"later", "https://host/later")
    found, said = opened(filled)
    assert found == objects_on_disk(filled)
    assert ["damaged record" in line for line in said] == [True]
    assert opened(filled)[1] == []


def garbage(path: str) -> None:
    with open(path, "wb") as file:
        file.write(os.urandom(10_000))


def empty(path: str) -> None:
    os.truncate(path, 0)


def future(path: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def foreign(path: str) -> None:
    os.unlink(path)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()


def without_tables(path: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE objects")
    db.close()


def half(path: str) -> None:
    os.truncate(path, os.stat(path).st_size // 2)


def flipped(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4 * 4096))


@pytest.mark.parametrize("damage", [garbage, empty, future, foreign, without_tables, half, flipped])
def test_a_catalog_that_cannot_be_used_is_set_aside_and_made_anew(
    filled: Root, damage: Callable[[str], None]
) -> None:
    opened(filled)
    damage(catalog_path(filled))
    keep(filled, b"later", "https://host/later")
    found, said = opened(filled)
    assert found == objects_on_disk(filled)
    assert [line.startswith("catalog.sqlite cannot be used (") for line in said] == [True]
    assert len(os.listdir(f"{filled.path}/quarantine")) == 1
    assert opened(filled)[1] == []


@pytest.mark.parametrize("damage", [without_tables, flipped])
def test_damage_that_shows_when_it_is_read_is_mended_too(
    filled: Root, damage: Callable[[str], None]
) -> None:
    opened(filled)
    damage(catalog_path(filled))
    said: list[str] = []
    found = keeper_of(filled, said).ask(objects_of)
    assert found == objects_on_disk(filled)
    assert [line.startswith("catalog.sqlite cannot be used (") for line in said] == [True]


def test_a_newer_catalog_says_so(filled: Root) -> None:
    opened(filled)
    future(catalog_path(filled))
    assert "its version 99 is newer than this program's" in opened(filled)[1][0]


def test_the_undo_log_of_a_killed_fold_never_meets_another_catalog(filled: Root) -> None:
    opened(filled)
    with open(f"{catalog_path(filled)}-journal", "wb") as file:
        file.write(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    keeper_of(filled).reindex()
    assert not os.path.exists(f"{catalog_path(filled)}-journal")
    assert_catalog_is_true(filled)


def test_reindex_says_what_it_found(filled: Root) -> None:
    first = keeper_of(filled).reindex()
    assert (first.objects, first.entries, first.dangling) == (6, {"url": 5}, 0)
    assert first.bytes == 504
    assert (first.new, first.gone, first.strays) == (None, None, [])
    filled.objects().put_bytes(b"brought by rsync")
    gone = keep(filled, b"0" * 100, URLS[0])
    os.unlink(gone.path)
    with open(f"{filled.path}/objects/stray", "w", encoding="ascii") as file:
        file.write("x")
    second = keeper_of(filled).reindex()
    assert (second.objects, second.new, second.gone, second.dangling) == (6, 1, 1, 1)
    assert second.strays == [f"{filled.path}/objects/stray"]


def test_reindex_keeps_what_the_files_do_not_tell(filled: Root, clock: Clock) -> None:
    stored = keep(filled, b"0" * 100, URLS[0])
    clock.advance(2e8)  # later than all files' own times
    filled.journal.append(TOUCH, URL, URLS[0], stored.address, 100)
    query = f"SELECT hits, accessed, verified FROM objects WHERE address = '{stored.address}'"

    def row() -> tuple[float, ...]:
        return keeper_of(filled).ask(lambda catalog: catalog.db.execute(query).fetchone())

    before = row()
    assert before[0] == 1
    keeper_of(filled).reindex()
    assert row() == before


def test_what_a_reindex_has_found_outlives_the_catalog(filled: Root) -> None:
    """What came by other means is in no record: the journal alone must not be taken for the whole."""
    filled.objects().put_bytes(b"rsynced")
    keeper_of(filled).reindex()
    os.unlink(catalog_path(filled))
    assert opened(filled)[0] == objects_on_disk(filled)


def test_what_changes_while_the_files_are_walked_is_not_missed(filled: Root) -> None:
    victims = [keep(filled, b"%d" % number * 100, url) for number, url in enumerate(URLS)]

    def change(phase: str, _done: int, _total: int) -> None:
        if phase == "url":  # the objects have been walked
            keep(filled, b"put meanwhile", "https://host/meanwhile")
            os.unlink(victims[0].path)
            filled.journal.append("purge", "object", victims[0].address, victims[0].address, 100)

    Opener(filled, sources(filled), say=print, progress=change).rebuild()
    catalog = keeper_of(filled).open()
    try:
        assert objects_of(catalog) == objects_on_disk(filled)
        assert ("url", "https://host/meanwhile") in entries_of(catalog)
        assert ("url", URLS[0]) not in entries_of(catalog)
    finally:
        catalog.close()


def test_segments_are_retired_when_they_are_read_and_silent(
    filled: Root, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    from fscache.records import journal

    monkeypatch.setattr(journal, "SEGMENT_BYTES", 50)
    directory = f"{filled.path}/journal"
    for number in range(5):
        clock.advance(RENEW_INTERVAL + 1)
        keep(filled, b"more %d" % number)
    assert len(segments(directory)) == 6
    opened(filled)
    assert is_born(directory)
    for name in segments(directory):
        os.utime(f"{directory}/{name}", (clock(), clock()))
    clock.advance(fold.RETIRE_AGE + 1)
    keep(filled, b"one more")
    opened(filled)
    assert len(segments(directory)) == 1
    assert not is_born(directory)
    assert_catalog_is_true(filled)
    os.unlink(catalog_path(filled))
    assert_catalog_is_true(filled)


def test_another_process_at_work_is_waited_for(filled: Root) -> None:
    from fscache.fs.lock import guard

    with guard(f"{filled.path}/locks/catalog", timeout=1), pytest.raises(LockTimeoutError):
        Opener(filled, sources(filled), say=print, timeout=0.05).open()


def test_a_catalog_that_somebody_keeps_locked_is_an_error_that_names_it(filled: Root) -> None:
    opened(filled)
    keep(filled, b"later", "https://host/later")
    holder = sqlite3.connect(catalog_path(filled), isolation_level=None)
    try:
        for lock in ("IMMEDIATE", "EXCLUSIVE"):  # nobody else writes; nobody else reads either
            holder.execute(f"BEGIN {lock}")
            with pytest.raises(
                LockTimeoutError, match=r"catalog\.sqlite.*locked by another process"
            ):
                Opener(filled, sources(filled), say=print, timeout=0.05).open()
            holder.execute("ROLLBACK")
    finally:
        holder.close()


def test_an_error_of_sqlite_in_an_answer_is_one_of_the_store(filled: Root) -> None:
    def without_room(catalog: Catalog) -> None:
        catalog.db.execute("PRAGMA temp.max_page_count = 1")
        catalog.db.execute("CREATE TEMP TABLE filler AS SELECT zeroblob(10000)")

    with pytest.raises(StoreFullError, match=r"catalog\.sqlite"):
        keeper_of(filled).ask(without_room)


def test_a_current_catalog_is_read_whoever_works_on_it(filled: Root) -> None:
    from fscache.fs.lock import guard

    opened(filled)
    with guard(f"{filled.path}/locks/catalog", timeout=1):
        Opener(filled, sources(filled), say=print, timeout=0.05).open().close()


def test_a_read_only_root_is_listed_from_a_private_copy(filled: Root) -> None:
    if not can_mount():
        pytest.skip("this process may not mount file systems")
    expected = objects_on_disk(filled)
    assert with_read_only(filled.path, lambda: opened(filled)[0]) == expected
    opened(filled)
    keep(filled, b"later", "https://host/later")
    expected = objects_on_disk(filled)
    assert with_read_only(filled.path, lambda: opened(filled)[0]) == expected
    with pytest.raises(RootPermissionError):
        with_read_only(filled.path, lambda: keeper_of(filled).reindex())


@pytest.mark.usefixtures("users")
def test_another_user_lists_from_a_private_copy(open_tmp: str) -> None:
    root = Root(f"{open_tmp}/cache", now=lambda: 1_700_000_000.0)
    in_child(lambda: (root.ensure(), keep(root, b"one", URLS[0])), umask=0o022)
    expected = objects_on_disk(root)
    assert in_child(lambda: opened(root)[0], uid=ALICE) == expected
    assert not os.path.exists(catalog_path(root))
    opened(root)
    keep(root, b"two", URLS[1])
    assert in_child(lambda: opened(root)[0], uid=ALICE) == objects_on_disk(root)


def test_a_full_disk_changes_nothing_and_still_lists(tmp_path: object) -> None:
    if not can_mount():
        pytest.skip("this process may not mount file systems")

    def work() -> tuple[bool, bool, str, bool]:
        root = Root(f"{tmp_path}/cache", now=lambda: 1_700_000_000.0)
        root.ensure()
        for number in range(300):
            keep(root, b"%d" % number, f"https://host/{number}")
        opened(root)
        before = os.stat(catalog_path(root))
        keep(root, b"later", "https://host/later")
        with open(f"{tmp_path}/filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        try:
            keeper_of(root).reindex()
            error = ""
        except StoreFullError as exc:
            error = str(exc)
        listed = opened(root)[0] == objects_on_disk(root)
        after = os.stat(catalog_path(root))
        same = (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
        leftovers = [name for name in os.listdir(f"{root.path}/partial") if name.startswith("t-")]
        os.unlink(f"{tmp_path}/filler")
        assert_catalog_is_true(root)
        return listed, same, error, not leftovers

    listed, same, error, clean = with_tmpfs(str(tmp_path), "size=8m", work)
    assert "catalog.sqlite" in error
    assert (listed, same, clean) == (True, True, True)


def test_a_change_that_could_not_be_recorded_is_found(filled: Root, clock: Clock) -> None:
    opened(filled)
    directory = f"{filled.path}/journal"
    (name,) = segments(directory)
    os.rename(f"{directory}/{name}", f"{directory}/{name}.aside")
    os.mkdir(f"{directory}/{name}")
    other = Root(filled.path, now=clock)
    stored = other.objects().put_bytes(b"unrecorded")
    other.journal.append(PUT, "object", stored.address, stored.address, 10)
    assert journal_id(directory) == ""
    os.rmdir(f"{directory}/{name}")
    os.rename(f"{directory}/{name}.aside", f"{directory}/{name}")
    assert_catalog_is_true(filled)


def test_a_journal_begun_anew_is_never_taken_for_the_whole(filled: Root) -> None:
    opened(filled)
    directory = f"{filled.path}/journal"
    os.unlink(f"{directory}/{COMPLETE}")
    opened(filled)
    assert not is_born(directory)
    os.unlink(catalog_path(filled))
    for name in segments(directory):
        os.unlink(f"{directory}/{name}")
    assert_catalog_is_true(filled)


def test_errors_of_sqlite_are_told_apart() -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert schema.cannot_write(error)
    assert not schema.is_damage(error)
    damage = sqlite3.DatabaseError("malformed")
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT | (1 << 8)
    assert schema.is_damage(damage)
    assert not schema.cannot_write(damage)
