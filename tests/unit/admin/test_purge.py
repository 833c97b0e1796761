"""Promises of fscache.admin.purge and removal: what goes, what stays, and what is said of it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from fscache.admin.purge import Purge
from fscache.errors import LockTimeoutError
from fscache.fs.lock import guard
from fscache.kv.local import LocalStore
from fscache.objects.layout import Split
from fscache.objects.purge import FORBIDDEN, GONE, LEASED, PINNED, YOUNG, Policy
from fscache.records.root import Root
from fscache.urls.index import URLIndex
from fscache.urls.lease import leased
from tests.support.catalogs import (
    DAY,
    age,
    assert_catalog_is_true,
    keep,
    keeper_of,
    objects_on_disk,
    open_root,
)
from tests.support.listing import files
from tests.support.mounts import with_tmpfs
from tests.support.processes import ALICE, BOB, in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fscache.admin.purge import Purged
    from fscache.objects.store import Stored


def old(root: Root, number: int, *, days: float = 10, size: int = 1000) -> Stored:
    """Keep an object that was last asked for some days ago; the higher the number, the later."""
    stored = keep(root, b"%04d" % number + bytes(size - 4), f"https://host/{number}")
    age(root, stored.path, days * DAY - number)
    return stored


def purge(root: Root, policy: Policy, **options: object) -> Purged:
    return Purge(keeper_of(root), policy, timeout=20.0, **options).run()  # type: ignore[arg-type]


def test_the_least_recently_used_go_first_with_their_entries(live: Root) -> None:
    stored = [old(live, number) for number in range(10)]
    gone: list[str] = []
    done = purge(live, Policy(max_size=6500), each=lambda each, _name: gone.append(each.address))
    assert gone == [each.address for each in stored[:4]]
    assert (done.used, done.taken, done.freed, done.short) == (10_000, 4, 4000, 0)
    assert objects_on_disk(live).keys() == {each.address for each in stored[4:]}
    assert [URLIndex(live).entry(f"https://host/{n}") is None for n in range(10)] == [True] * 4 + [
        False
    ] * 6
    assert_catalog_is_true(live)


def test_directories_that_became_empty_go_too(live: Root) -> None:
    old(live, 0)
    purge(live, Policy(older_than=DAY))
    assert os.listdir(f"{live.path}/objects") == []


def test_a_dry_run_says_the_same_and_does_nothing(live: Root) -> None:
    for number in range(10):
        old(live, number)
    before = files(live.path)
    planned: list[tuple[str, str]] = []
    policy = Policy(max_size=6500)
    said = Purge(
        keeper_of(live),
        policy,
        each=lambda each, name: planned.append((each.address, name(each.address))),
    ).plan()
    assert [name for _, name in planned] == [f"https://host/{number}" for number in range(4)]
    assert files(live.path) == before
    done: list[str] = []
    ran = purge(live, policy, each=lambda each, _name: done.append(each.address))
    assert done == [address for address, _ in planned]
    assert ran == said


def test_the_young_the_pinned_and_the_leased_stay(live: Root) -> None:
    stored = [old(live, number) for number in range(5)]
    keeper = keeper_of(live)
    keeper.pins.add(stored[0].address, by="ann")
    keeper.pins.add("https://host/1", by="ann")
    young = keep(live, b"young")
    path = stored[2].path
    with leased(lambda: path):  # type: ignore[arg-type, return-value]
        said = Purge(keeper, Policy(max_size=0)).plan()
        done = purge(live, Policy(max_size=0))
    assert said.spared == done.spared == {PINNED: 2, LEASED: 1, YOUNG: 1}
    assert (said.taken, done.taken) == (2, 2)
    assert done.short == 3005
    left = {each.address for each in (*stored[:3], young)}
    assert objects_on_disk(live).keys() == left
    keeper.pins.remove(stored[0].address)
    assert purge(live, Policy(max_size=0)).taken == 2
    assert objects_on_disk(live).keys() == {stored[1].address, young.address}


def test_the_grace_time_counts_from_the_last_access_not_from_the_last_touch(live: Root) -> None:
    """A hit sets the time at most once an hour: what was given out just now may look that old."""
    stored = [old(live, number) for number in range(3)]
    for each, ago in zip(stored, (7300.0, 5400.0, 3601.0), strict=True):
        age(live, each.path, ago)
    policy = Policy(max_size=0, grace=3600.0)
    assert purge(live, policy).spared == {YOUNG: 1}
    assert objects_on_disk(live).keys() == {each.address for each in stored[1:]}
    assert purge(live, Policy(max_size=0, grace=0.0)).taken == 2


def test_a_lease_of_another_process_counts(live: Root) -> None:
    stored = old(live, 0)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        import fcntl

        fd = os.open(stored.path, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_SH)
        os.write(write, b"!")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(read, 1)
        assert purge(live, Policy(max_size=0)).spared == {LEASED: 1}
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
    assert purge(live, Policy(max_size=0)).taken == 1


def test_whoever_has_it_open_keeps_reading(live: Root) -> None:
    stored = old(live, 7)
    with open(stored.path, "rb") as file:
        assert purge(live, Policy(max_size=0)).taken == 1
        assert file.read(4) == b"0007"


def test_what_key_values_and_tasks_name_is_never_taken(live: Root) -> None:
    value = bytes(100_000)
    LocalStore(live).put("large", value)
    from fscache.objects.digest import digest_of

    address = digest_of(value)[:20]
    live.journal.append("put", "task", "id", keep(live, b"task's buffer").address, 13)
    for each in objects_on_disk(live):
        age(live, live.objects().locate(each), 100 * DAY)
    done = purge(live, Policy(older_than=DAY, max_size=0))
    assert (done.taken, done.spared) == (0, {})
    assert address in objects_on_disk(live)
    assert LocalStore(live).get("large") == value
    assert LocalStore(live).delete("large")
    age(live, live.objects().locate(address), 100 * DAY)
    assert purge(live, Policy(max_size=0)).taken == 1


def test_an_object_that_a_url_and_a_key_value_name_stays(live: Root) -> None:
    value = bytes(100_000)
    LocalStore(live).put("large", value)
    stored = keep(live, b"x", "https://host/x")
    live.journal.append("put", "url", "https://host/y", stored.address, 1)
    LocalStore(live).put("x", "small")
    for each in objects_on_disk(live):
        age(live, live.objects().locate(each), 100 * DAY)
    assert purge(live, Policy(max_size=0)).taken == 1
    assert len(objects_on_disk(live)) == 1


def test_an_access_that_the_catalog_has_not_seen_counts(live: Root) -> None:
    stored = [old(live, number) for number in range(3)]
    now = live.now()
    for number, ago in ((0, 5 * DAY), (1, 10.0)):
        status = os.stat(stored[number].path)
        os.utime(stored[number].path, ns=(int((now - ago) * 1e9), status.st_mtime_ns))
    done = purge(live, Policy(max_size=1500))
    assert (done.taken, done.spared, done.short) == (2, {}, 0)
    assert objects_on_disk(live).keys() == {stored[1].address}


def test_what_is_asked_for_while_the_purge_runs_is_spared(live: Root) -> None:
    stored = [old(live, number) for number in range(3)]
    keeper = keeper_of(live)

    original = Root.exclusive
    touched = []

    def exclusive(self: Root, *, timeout: float) -> object:
        if not touched:  # after the plan was made, before the lock is taken
            touched.append(keep(live, b"0000" + bytes(996), "https://other/0"))
            live.journal.append("touch", "url", "https://host/1", stored[1].address, 1000)
        return original(self, timeout=timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Root, "exclusive", exclusive)
        done = Purge(keeper, Policy(max_size=0), timeout=20.0).run()
    assert (done.taken, done.spared) == (1, {YOUNG: 2})
    assert objects_on_disk(live).keys() == {stored[0].address, stored[1].address}


def test_a_pin_that_comes_while_the_purge_runs_counts(live: Root) -> None:
    stored = old(live, 0)
    keeper = keeper_of(live)
    original = Root.exclusive

    def exclusive(self: Root, *, timeout: float) -> object:
        keeper.pins.add(stored.address, by="ann")
        return original(self, timeout=timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Root, "exclusive", exclusive)
        done = Purge(keeper, Policy(max_size=0), timeout=20.0).run()
    assert done.spared == {PINNED: 1}


def test_a_journal_that_breaks_off_while_the_purge_runs_is_planned_anew(live: Root) -> None:
    stored = [old(live, number) for number in range(3)]
    LocalStore(live).put("k", "small")
    original = Root.exclusive
    broken = []

    def exclusive(self: Root, *, timeout: float) -> object:
        if not broken:
            broken.append(True)
            os.unlink(f"{live.path}/journal/complete")
        return original(self, timeout=timeout)

    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Root, "exclusive", exclusive)
        done = Purge(keeper_of(live, said), Policy(max_size=1500), timeout=20.0).run()
    assert (done.taken, done.used, done.complete) == (2, 3000, True)
    assert "not complete" in said[0]
    assert objects_on_disk(live).keys() == {stored[2].address}


def test_an_object_that_somebody_deleted_is_no_trouble(live: Root) -> None:
    stored = [old(live, number) for number in range(2)]
    os.unlink(stored[0].path)
    done = purge(live, Policy(max_size=0))
    assert (done.taken, done.spared) == (1, {GONE: 1})
    assert_catalog_is_true(live)


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("https://host/1*", {0, 2, 3}),
        ("https://host/?", set()),
        ("*", set()),
        ("nothing", {0, 1, 2, 3}),
    ],
)
def test_only_what_matches_goes(live: Root, pattern: str, numbers: set[int]) -> None:
    stored = [old(live, number) for number in range(4)]
    purge(live, Policy(older_than=DAY), match=pattern)
    left = {number for number in range(4) if os.path.exists(stored[number].path)}
    assert left == numbers


def test_every_name_of_an_object_has_to_match(live: Root) -> None:
    stored = keep(live, b"shared", "https://a/1", "https://b/1")
    bare = keep(live, b"bare")
    for each in (stored, bare):
        age(live, each.path, 10 * DAY)
    assert purge(live, Policy(older_than=DAY), match="https://a/*").taken == 0
    assert purge(live, Policy(older_than=DAY), match="https://*").taken == 1
    assert purge(live, Policy(older_than=DAY), match=f"{bare.address[:4]}*").taken == 1


def test_every_object_is_told_with_its_own_name(
    live: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was put off, since it had been asked for, to behind later pages of candidates."""
    monkeypatch.setattr("fscache.admin.removal._PAGE", 2)
    stored = [old(live, number) for number in range(7)]
    bare = keep(live, b"bare")
    age(live, bare.path, 9 * DAY)
    status = os.stat(stored[0].path)
    os.utime(stored[0].path, ns=(int((live.now() - 9.5 * DAY) * 1e9), status.st_mtime_ns))
    told: list[tuple[str, str]] = []
    Purge(
        keeper_of(live),
        Policy(older_than=DAY),
        each=lambda each, name: told.append((each.address, name(each.address))),
    ).plan()
    urls = {each.address: f"https://host/{number}" for number, each in enumerate(stored)}
    assert told == [
        *((each.address, urls[each.address]) for each in (*stored[1:], stored[0])),
        (bare.address, ""),
    ]


def test_hard_links_from_elsewhere_free_no_disk(live: Root, tmp_path: Path) -> None:
    stored = [old(live, number) for number in range(2)]
    os.link(stored[0].path, tmp_path / "other name")
    free = os.statvfs(live.path)
    needed = free.f_bavail * free.f_frsize + 1
    done = Purge(keeper_of(live), Policy(min_free=needed + 10**9)).plan()
    assert done.taken == 2
    assert done.short > 10**9 - 8192


@pytest.mark.parametrize(("limit", "short"), [(3500, 500), (4500, 0)])
def test_what_is_short_is_measured_from_the_limit(live: Root, limit: int, short: int) -> None:
    for number in range(4):
        stored = old(live, number)
        keeper_of(live).pins.add(stored.address, by="ann")
    old(live, 4)
    done = purge(live, Policy(max_size=limit, low_water=0.5))
    assert (done.taken, done.short, done.exhausted) == (1, short, True)
    assert done.why() == "4 pinned"


@pytest.mark.usefixtures("mounts")
def test_what_is_short_of_free_space_is_measured_from_the_limit(tmp_path: Path) -> None:
    def run() -> tuple[int, int]:
        root = open_root(f"{tmp_path}/cache")
        keep(root, bytes(2**20))
        system = os.statvfs(root.path)
        wanted = (system.f_bavail + 1) * system.f_frsize
        done = Purge(keeper_of(root), Policy(min_free=wanted, low_water=0.5)).plan()
        now = os.statvfs(root.path)
        return done.short, wanted - now.f_bavail * now.f_frsize

    short, missing = with_tmpfs(str(tmp_path), "size=8m", run)
    assert 0 < short <= missing


def test_one_purge_at_a_time(live: Root) -> None:
    old(live, 0)
    with guard(f"{live.path}/locks/purge", timeout=1), pytest.raises(LockTimeoutError):
        Purge(keeper_of(live), Policy(max_size=0), timeout=0.05).run()


def test_names_under_a_split_of_before_go_too(live: Root) -> None:
    from fscache.migrate.resplit import Resplit

    old(live, 0)
    Resplit(live, Split(2, 18)).run()
    now = Root(live.path, now=live.now)
    assert len(files(f"{live.path}/objects")) == 2
    assert purge(now, Policy(max_size=0)).taken == 1
    assert files(f"{live.path}/objects") == []


@pytest.mark.usefixtures("users")
def test_what_this_user_may_not_remove_is_spared(open_tmp: str) -> None:
    path = f"{open_tmp}/cache"

    def fill() -> None:
        root = open_root(path)
        stored = keep(root, b"theirs")
        status = os.stat(stored.path)
        os.utime(stored.path, ns=(0, status.st_mtime_ns))

    in_child(fill, uid=None, umask=0o022)
    root = Root(path, now=time.time)
    os.chmod(f"{path}/locks", 0o777)
    os.chmod(f"{path}/journal", 0o777)
    for name in os.listdir(f"{path}/locks"):
        os.chmod(f"{path}/locks/{name}", 0o666)

    def try_to() -> Purged:
        return Purge(keeper_of(root), Policy(max_size=0, grace=0.0), timeout=5.0).run()

    done = in_child(try_to, uid=ALICE)
    assert (done.taken, done.spared) == (0, {FORBIDDEN: 1})
    assert ALICE != BOB


def test_a_purge_is_noted_and_the_next_catalog_knows(live: Root) -> None:
    old(live, 0)
    assert (
        len(keeper_of(live).ask(lambda catalog: list(catalog.db.execute("SELECT * FROM objects"))))
        == 1
    )
    purge(live, Policy(max_size=0))
    os.unlink(f"{live.path}/catalog.sqlite")
    assert_catalog_is_true(live)


@pytest.mark.parametrize("count", [150])
def test_the_lock_is_given_back_in_between(live: Root, count: int) -> None:
    for number in range(count):
        keep(live, b"%d" % number)
    turns = []
    original: Callable[..., object] = Root.exclusive

    def exclusive(self: Root, *, timeout: float) -> object:
        turns.append(timeout)
        return original(self, timeout=timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Root, "exclusive", exclusive)
        done = Purge(keeper_of(live), Policy(max_size=0, grace=0.0), timeout=20.0).run()
    assert done.taken == count
    assert len(turns) >= 3
