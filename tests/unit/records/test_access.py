"""Promises of fscache.records.access: what was asked for is known, whatever the mount, whoever asks."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from fscache.admin.purge import Purge
from fscache.admin.verify import Selection, Verifier
from fscache.cache import Cache
from fscache.config import load
from fscache.objects.purge import Policy
from fscache.records.access import INTERVAL, Accesses
from fscache.records.root import Root
from tests.support.catalogs import DAY, age, keep, keeper_of, open_root
from tests.support.listing import listing
from tests.support.mounts import with_tmpfs
from tests.support.processes import ALICE, in_child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Clock

LONG_AGO = 30 * DAY


def known(root: Root, address: str) -> tuple[float, int]:
    """Return last access and hits of an object, as the catalog has them."""
    question = "SELECT accessed, hits FROM objects WHERE address = ?"
    rows = keeper_of(root).ask(lambda catalog: catalog.db.execute(question, (address,)).fetchall())
    return rows[0]


def cache_of(root: Root) -> Cache:
    return Cache(root.path, config=load({"HOME": root.path}), now=root.now)


def test_asking_for_an_address_is_an_access_like_any_other(root: Root, clock: Clock) -> None:
    cache = cache_of(root)
    address = cache.put(b"bytes")
    path = cache.path(address)
    first = os.stat(path).st_atime
    assert first == clock.now  # the kernel's time was years off this clock
    clock.advance(INTERVAL - 1)
    cache.path(address)
    assert os.stat(path).st_atime == first
    clock.advance(LONG_AGO)
    assert cache.path(address) == path
    assert os.stat(path).st_atime == clock.now
    assert known(root, address) == (clock.now, 2)


def test_an_address_in_a_tier_is_found_and_nothing_is_written_there(
    root: Root, clock: Clock, tmp_path: Path
) -> None:
    address = cache_of(root).put(b"bytes")
    clock.advance(LONG_AGO)
    before = listing(root.path)
    config = load({"HOME": str(tmp_path), "FSCACHE_TIERS": root.path})
    cache = Cache(tmp_path / "own", config=config, now=clock)
    assert cache.path(address).is_relative_to(root.path)
    assert listing(root.path) == before


@pytest.mark.usefixtures("users")
def test_the_journal_alone_knows_of_other_users_and_once_an_hour(open_tmp: str) -> None:
    path = f"{open_tmp}/cache"

    def fill() -> str:
        root = open_root(path)
        stored = keep(root, b"theirs")
        os.utime(stored.path, ns=(0, stored.status.st_mtime_ns))
        return stored.address

    address = in_child(fill, umask=0o022)
    os.chmod(f"{path}/journal", 0o777)

    def ask() -> None:
        now = 1e9
        root = Root(path, now=lambda: now)
        accesses = Accesses(root)
        place = root.objects().locate(address)
        for step in (0.0, 10.0, INTERVAL - 20.0, 20.0):
            now += step
            status = os.stat(place)
            assert accesses.is_due(status)
            accesses.touch("object", address, address, place, status)

    in_child(ask, uid=ALICE)
    assert os.stat(Root(path, now=time.time).objects().locate(address)).st_atime == 0
    assert known(Root(path, now=time.time), address)[1] == 2


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("option", ["noatime", "relatime", "strictatime"])
def test_the_last_access_is_right_whatever_the_mount(tmp_path: Path, option: str) -> None:
    disk = str(tmp_path / "disk")
    os.mkdir(disk)

    def run() -> tuple[list[int], set[int]]:
        assert option in open("/proc/self/mounts").read().split(f" {disk} ")[1] or (  # noqa: SIM115
            option == "strictatime"  # which is what the kernel says nothing about
        )
        root = open_root(f"{disk}/cache")
        stored = [keep(root, b"%d" % number, f"https://host/{number}") for number in range(4)]
        for number, each in enumerate(stored):
            age(root, each.path, LONG_AGO - number)
        cache = cache_of(root)
        now = time.time()
        cache.get("https://host/1")
        cache.path(stored[2].address)
        if option == "noatime":  # the kernel does nothing for us
            with open(stored[0].path, "rb") as file:
                file.read()
        # Looking after the cache is no use of it, whatever the kernel thinks of reading.
        list(
            Verifier(keeper_of(root), selection=Selection(), random=None, throttle=None).run()  # type: ignore[arg-type]
        )
        keeper_of(root).reindex()
        fresh = [n for n, each in enumerate(stored) if os.stat(each.path).st_atime >= now - 1]
        Purge(keeper_of(root), Policy(older_than=DAY), timeout=20.0).run()
        return fresh, {n for n, each in enumerate(stored) if os.path.exists(each.path)}

    assert with_tmpfs(disk, f"size=4m,{option}", run) == ([1, 2], {1, 2})
