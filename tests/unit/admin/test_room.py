"""Promises of fscache.admin.room: a cache with limits keeps within them by itself."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from fscache.admin.room import Limits, RoomMaker
from fscache.cache import Cache
from fscache.config import load
from fscache.fs.lock import guard
from fscache.objects.purge import Policy
from tests.support.catalogs import (
    DAY,
    age,
    assert_catalog_is_true,
    keep,
    keeper_of,
    objects_on_disk,
    open_root,
)
from tests.support.mounts import with_tmpfs
from tests.support.origin import Origin, Page
from tests.support.processes import in_child

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.objects.store import Stored
    from fscache.records.root import Root

KIB = 1024


def limited(path: str, settings: str) -> Cache:
    """Open a cache with settings of its own."""
    file = f"{path}.toml"
    with open(file, "w", encoding="utf-8") as out:
        out.write(settings)
    return Cache(path, config=load({"HOME": path, "FSCACHE_CONFIG": file}))


def old(root: Root, number: int, *, size: int = KIB, days: float = 10) -> Stored:
    stored = keep(root, b"%04d" % number + bytes(size - 4), f"https://host/{number}")
    age(root, stored.path, days * DAY - number)
    return stored


def maker(root: Root, **limits: Any) -> RoomMaker:
    settings = {"max_size": None, "min_free": None, "low_water": 0.9, "grace": 3600.0, **limits}
    return RoomMaker(root, Limits(**settings))


def test_a_put_that_would_pass_the_limit_purges_down_to_the_low_mark(live: Root) -> None:
    stored = [old(live, number) for number in range(10)]
    cache = limited(live.path, 'max_size = "10KiB"\nlow_water = "50%"')
    new = cache.put(os.urandom(KIB))
    left = objects_on_disk(live)
    # The limit is passed once: from 11 KiB to 5, the new one included.
    assert left.keys() == {*(each.address for each in stored[6:]), new}
    assert_catalog_is_true(live)


def test_nothing_goes_before_the_limit_is_passed(live: Root) -> None:
    for number in range(5):
        old(live, number)
    cache = limited(live.path, 'max_size = "6KiB"')
    cache.put(os.urandom(KIB))
    assert len(objects_on_disk(live)) == 6


@pytest.mark.parametrize("how", ["path", "file", "memory"])
def test_however_the_bytes_come(live: Root, tmp_path: Path, how: str) -> None:
    old(live, 0)
    cache = limited(live.path, 'max_size = "4KiB"')
    body = os.urandom(4 * KIB)
    (tmp_path / "file").write_bytes(b"read already" + body)
    (tmp_path / "whole").write_bytes(body)
    with open(tmp_path / "file", "rb") as file, io.BytesIO(b"read already" + body) as memory:
        for each in (file, memory):
            each.seek(12)
        cache.put({"path": str(tmp_path / "whole"), "file": file, "memory": memory}[how])
    assert set(objects_on_disk(live).values()) == {4 * KIB}


def test_a_put_does_not_fail_for_a_catalog_that_somebody_keeps_locked(
    live: Root, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        old(live, number)
    keeper_of(live).open().close()
    monkeypatch.setattr("fscache.admin.room._PATIENCE", 0.05)
    cache = limited(live.path, 'max_size = "4KiB"')
    with contextlib.closing(sqlite3.connect(f"{live.path}/catalog.sqlite")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        cache.put(b"first")
        cache.put(b"and not tried again at once")
    assert len(objects_on_disk(live)) == 6
    assert caplog.text.count("locked by another process") == 1


def test_for_what_tells_no_length_room_is_made_afterwards(live: Root) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.rest = [os.urandom(4 * KIB), b""]

        def readable(self) -> bool:
            return True

        def read(self, _size: int = -1) -> bytes:
            return self.rest.pop(0)

        readinto = None

    old(live, 0)
    cache = limited(live.path, 'max_size = "4KiB"')
    cache.put(Pipe())  # type: ignore[arg-type]
    assert list(objects_on_disk(live).values()) == [4 * KIB]


def test_a_url_that_is_fetched_makes_room_too(live: Root) -> None:
    old(live, 0, size=60 * KIB)
    with Origin() as origin, limited(live.path, 'max_size = "100KiB"') as cache:
        url = origin.add("/a", Page(os.urandom(80 * KIB)))
        cache.get(url)
    assert list(objects_on_disk(live).values()) == [80 * KIB]


@pytest.mark.usefixtures("mounts")
def test_the_least_free_space_is_kept_free(tmp_path: Path) -> None:
    disk = str(tmp_path / "disk")
    os.mkdir(disk)

    def run() -> tuple[int, list[float]]:
        root = open_root(f"{disk}/cache")
        for number in range(20):
            old(root, number, size=100 * KIB)
        cache = limited(root.path, 'min_free = "50%"\nlow_water = "80%"')
        shares = []
        for _ in range(5):
            cache.put(os.urandom(100 * KIB))
            system = os.statvfs(disk)
            shares.append(system.f_bavail / system.f_blocks)
        return len(objects_on_disk(root)), shares

    count, shares = with_tmpfs(disk, "size=4m", run)
    assert min(shares) >= 0.5
    assert shares[0] >= 0.58  # the low mark, but for the directory that came with it
    assert 5 < count < 20


def test_what_cannot_be_freed_fails_no_put_and_is_not_tried_at_every_one(
    live: Root, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(live, bytes(4 * KIB))
    now = time.time()
    live.now = lambda: now
    room = maker(live, max_size=KIB, low_water=0.5)
    purges = count_purges(monkeypatch)
    with caplog.at_level(logging.WARNING, "fscache"):
        room.make(KIB)
        room.make(KIB)
    assert len(purges) == 1
    # Over the limit, not over the low mark that it would come down to.
    assert (
        "4.0 KiB over the limit, and nothing to purge (spared: what was used lately)" in caplog.text
    )
    now += 61
    room.make(100)
    assert len(purges) == 2
    assert len(objects_on_disk(live)) == 1


def test_between_the_marks_the_limit_is_not_said_to_be_passed(
    live: Root, caplog: pytest.LogCaptureFixture
) -> None:
    old(live, 0)
    keep(live, bytes(4 * KIB))
    room = maker(live, max_size=5 * KIB, low_water=0.5)
    with caplog.at_level(logging.WARNING, "fscache"):
        room.make(KIB)
    assert len(objects_on_disk(live)) == 1
    assert (
        ": above the low mark, and nothing to purge (spared: what was used lately)" in caplog.text
    )


def count_purges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    from fscache.admin.purge import Purge

    done: list[int] = []
    original = Purge.run

    def run(self: Purge) -> object:
        done.append(self.incoming)
        return original(self)

    monkeypatch.setattr(Purge, "run", run)
    return done


def test_what_other_processes_put_counts(live: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    live.now = lambda: now
    room = maker(live, max_size=10 * KIB)
    purges = count_purges(monkeypatch)
    room.make(KIB)

    def put() -> None:
        root = open_root(live.path)
        for number in range(9):
            stored = keep(root, b"%d" % number + bytes(KIB))
            os.utime(stored.path, ns=(0, stored.status.st_mtime_ns))

    in_child(put)
    room.make(KIB)  # looked up less than a second ago
    assert purges == []
    now += 1.5
    room.make(KIB)
    assert purges == [KIB]


def test_that_there_is_room_is_known_without_opening_the_catalog(
    live: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    live.now = lambda: now
    room = maker(live, max_size=10 * KIB)
    room.make(10)

    def never(*_arguments: object) -> None:
        raise AssertionError("the catalog is opened")

    monkeypatch.setattr("fscache.admin.keeper.Keeper.open", never)
    for _ in range(100):
        now += 0.1
        room.make(10)


def test_a_cache_without_limits_knows_nothing_of_this(live: Root) -> None:
    def modules() -> list[str]:
        for name in [each for each in sys.modules if each.startswith("fscache.admin")]:
            del sys.modules[name]
        Cache(live.path, config=load({"HOME": live.path})).put(b"bytes")
        return [name for name in sys.modules if name.startswith("fscache.admin")]

    assert in_child(modules) == []


def test_trouble_with_the_purge_fails_no_put(
    live: Root, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(live, 0)

    def run(_self: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("fscache.admin.purge.Purge.run", run)
    with caplog.at_level(logging.WARNING, "fscache"):
        maker(live, max_size=10).make(100)
    assert "purge failed: out of luck" in caplog.text


def test_a_purge_of_another_process_is_waited_for_but_not_for_long(
    live: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(live, 0)
    monkeypatch.setattr("fscache.admin.room._PATIENCE", 0.05)
    with guard(f"{live.path}/locks/purge", timeout=1):
        maker(live, max_size=10).make(100)
    assert len(objects_on_disk(live)) == 1


def test_limits_are_a_policy_of_the_file_system_they_are_for() -> None:
    limits = Limits(max_size=5, min_free="10%", low_water=0.8, grace=7.0, older_than=9.0)
    assert limits.policy(1000) == Policy(
        older_than=9.0, max_size=5, min_free=100, low_water=0.8, grace=7.0
    )
