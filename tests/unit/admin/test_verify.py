"""Promises of fscache.admin.verify: what is wrong is found, and nothing else; nothing is changed."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from fscache.admin import findings
from fscache.admin.verify import Selection, Throttle, Verifier
from fscache.kv.local import LocalStore
from fscache.objects.layout import Split
from fscache.records.root import Root
from fscache.urls.index import URLIndex
from tests.support import damage
from tests.support.catalogs import DAY, keep, keeper_of, open_root
from tests.support.listing import listing
from tests.support.processes import ALICE, in_child
from tests.support.wrecks import WEEKS_AGO, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.admin.findings import Finding
    from fscache.objects.store import Stored


@pytest.fixture
def stored(live: Root) -> list[Stored]:
    return [keep(live, b"object %d" % n * 100, f"https://host/{n}") for n in range(5)]


def whats(found: list[Finding]) -> list[str]:
    return [finding.what for finding in found]


def test_a_sound_root_has_nothing_wrong(live: Root, stored: list[Stored]) -> None:
    store = LocalStore(live)
    store.multiput({"small": "x", "large": bytes(100_000), "gone": 1})
    store.delete("gone")
    keep(live, b"bare")
    keeper_of(live).pins.add("https://host/1", by="ann")
    found, done = verify(live)
    assert found == []
    assert (done.objects, done.hashed, done.entries) == (7, 7, 5 + 2)
    assert done.bytes == sum(each.size for each in stored) + 100_000 + 4


def test_bytes_that_changed_under_their_name(live: Root, stored: list[Stored]) -> None:
    damage.flip(stored[2].path, 50, keep_times=True)
    (finding,), done = verify(live)
    assert (finding.what, finding.path) == (findings.FLIPPED, stored[2].path)
    assert finding.names == ("https://host/2",)
    assert (done.found, done.hashed) == (1, 5)


@pytest.mark.parametrize("size", [0, 10, 901])
def test_a_length_other_than_its_entries_is_seen_without_hashing(
    live: Root, stored: list[Stored], size: int
) -> None:
    damage.overwrite(stored[2].path, bytes(size))
    (finding,), done = verify(live, selection=Selection(share=0.0), random=random.Random(1))
    assert (finding.what, finding.detail) == (findings.TRUNCATED, f"{size} bytes instead of 800")
    assert done.hashed == 0


def test_the_bytes_of_another(live: Root, stored: list[Stored]) -> None:
    os.unlink(stored[0].path)
    os.link(stored[1].path, stored[0].path)
    (finding,), _ = verify(live)
    assert (finding.what, finding.path) == (findings.MISNAMED, stored[0].path)
    assert finding.names == ("https://host/0",)


def test_an_entry_under_the_name_of_another(live: Root, stored: list[Stored]) -> None:
    entries = live.entries("urls", b"url")
    places = [entries.path(b"https://host/%d" % n) for n in (0, 1)]
    os.unlink(places[0])
    os.rename(places[1], places[0])
    (finding,), _ = verify(live)
    assert (finding.what, finding.path) == (findings.MISNAMED, places[0])
    assert "https://host/1" in finding.detail


def test_an_object_that_this_user_cannot_read(open_tmp: str, users: None) -> None:
    def fill() -> str:
        return keep(open_root(f"{open_tmp}/cache"), b"theirs", "https://host/a").path

    path = in_child(fill, umask=0o022)
    os.chmod(path, 0o400)
    found = in_child(lambda: verify(Root(f"{open_tmp}/cache", now=time.time))[0], uid=ALICE)
    assert [(each.what, each.path, each.detail) for each in found] == [
        (findings.UNREADABLE, path, "Permission denied")
    ]


def stray_file(top: str) -> str:
    return make(f"{top}/note.txt")


def stray_directory(top: str) -> str:
    os.mkdir(f"{top}/abc")
    return f"{top}/abc"


def stray_below(top: str) -> str:
    os.makedirs(f"{top}/abcd/ef01")
    return make(f"{top}/abcd/ef01/23456789abcd.tmp")


def stray_upper_case(top: str) -> str:
    os.makedirs(f"{top}/abcd/ef01")
    return make(f"{top}/abcd/ef01/23456789ABCD")


def stray_link(top: str) -> str:
    os.makedirs(f"{top}/abcd/ef01")
    os.symlink("/etc/passwd", f"{top}/abcd/ef01/23456789abcd")
    return f"{top}/abcd/ef01/23456789abcd"


def stray_pipe(top: str) -> str:
    os.makedirs(f"{top}/abcd/ef01")
    os.mkfifo(f"{top}/abcd/ef01/23456789abcd")
    return f"{top}/abcd/ef01/23456789abcd"


def make(path: str) -> str:
    with open(path, "wb") as file:
        file.write(b"?")
    return path


@pytest.mark.parametrize(
    "put",
    [stray_file, stray_directory, stray_below, stray_upper_case, stray_link, stray_pipe],
)
def test_what_is_no_object_among_objects(
    live: Root, stored: list[Stored], put: Callable[[str], str]
) -> None:
    path = put(f"{live.path}/objects")
    (finding,), done = verify(live)
    assert (finding.what, finding.path) == (findings.STRAY, path)
    assert done.objects == 5


def test_what_is_no_entry_among_entries(live: Root, stored: list[Stored]) -> None:
    LocalStore(live).put("k", "v")
    paths = [make(f"{live.path}/{below}") for below in ("urls/note", "kv/default/note")]
    found, _ = verify(live)
    assert [(each.what, each.path) for each in found] == [(findings.STRAY, each) for each in paths]


def test_a_bad_entry_of_every_kind(live: Root, stored: list[Stored]) -> None:
    store = LocalStore(live)
    store.put("k", "v")
    url = live.entries("urls", b"url").path(b"https://host/3")
    key = live.entries("kv/default", b"key").path(b"k")
    damage.flip(url, 40)
    damage.overwrite(key, b"")
    found, _ = verify(live)
    assert [(each.what, each.path) for each in found] == [
        (findings.BAD_ENTRY, url),
        (findings.BAD_ENTRY, key),
    ]


def test_an_entry_whose_payload_says_nothing_is_a_bad_one(live: Root) -> None:
    live.entries("urls", b"url").write(b"https://host/x", b"digest nonsense")
    (finding,), _ = verify(live)
    assert (finding.what, finding.names) == (findings.BAD_ENTRY, ("https://host/x",))


def test_entries_whose_object_is_gone(live: Root, stored: list[Stored]) -> None:
    LocalStore(live).put("large", bytes(100_000))
    LocalStore(live).put("small", "x")
    os.unlink(stored[0].path)
    (large,) = (
        each for each in keeper_of(live).sources["kv"].scan() if each.name == "default/large"
    )
    address = large.address
    os.unlink(live.objects().locate(address))
    found, _ = verify(live)
    assert [(each.what, each.names) for each in found] == [
        (findings.DANGLING, ("https://host/0",)),
        (findings.DANGLING, ("default/large",)),
    ]
    assert address in found[1].detail


def test_what_came_by_other_means_is_orphaned_until_a_reindex(
    live: Root, stored: list[Stored]
) -> None:
    keeper_of(live).open().close()
    orphan = live.objects().put_bytes(b"rsynced")
    now = time.time()
    live.now = lambda: now + 10  # what came within the last second may be a put under way
    (finding,), _ = verify(live)
    assert (finding.what, finding.path) == (findings.ORPHANED, orphan.path)
    live.now = lambda: now
    assert verify(live)[0] == []
    live.now = lambda: now + 10
    keeper_of(live).reindex()
    assert verify(live)[0] == []


def test_an_object_that_is_recorded_while_it_runs_is_no_orphan(
    live: Root, stored: list[Stored]
) -> None:
    keeper = keeper_of(live)
    keeper.open().close()
    now = time.time()
    live.now = lambda: now + 10
    verifier = Verifier(keeper, selection=Selection(), random=random.Random(1))
    new = live.objects().put_bytes(b"new")

    def record(phase: str, _done: int, _total: int) -> None:
        assert phase == "verify"
        live.journal.append("put", "object", new.address, new.address, new.size)

    keeper.progress = record
    assert list(verifier.run()) == []
    assert verifier.done.objects == 6


def test_partial_files_that_nobody_writes_to(live: Root) -> None:
    now = time.time()
    for name, age in (("old.part", WEEKS_AGO), ("young.part", DAY)):
        path = make(f"{live.path}/partial/{name}")
        os.utime(path, (now - age, now - age))
    (finding,), _ = verify(live)
    assert (finding.what, finding.detail) == (findings.LEFTOVER, "20 days old")
    assert finding.path.endswith("/old.part")


def test_objects_under_a_split_of_before_are_no_strays(live: Root, stored: list[Stored]) -> None:
    from fscache.migrate.resplit import Resplit

    Resplit(live, Split(2, 18)).run()
    found, done = verify(Root(live.path, now=live.now))
    assert found == []
    assert done.objects == 5


def test_a_sample_hashes_a_share_of_them(live: Root) -> None:
    for number in range(300):
        keep(live, b"%d" % number)
    done = verify(live, selection=Selection(share=0.2), random=random.Random(7))[1]
    assert done.objects == 300
    assert 35 <= done.hashed <= 85
    assert verify(live, selection=Selection(share=1.0))[1].hashed == 300


def test_only_what_was_not_verified_for_so_long_is_hashed(live: Root, stored: list[Stored]) -> None:
    week = Selection(older_than=7 * DAY)
    now = time.time()
    # Bytes are hashed as they come: a new object was verified when it was put.
    assert verify(live, selection=week)[1].hashed == 0
    live.now = lambda: now + 8 * DAY
    damage.flip(stored[4].path, keep_times=True)
    found, done = verify(live, selection=week)
    assert (whats(found), done.hashed) == ([findings.FLIPPED], 5)
    # Those that were good need no second look, the bad one does.
    found, done = verify(live, selection=week)
    assert (whats(found), done.hashed) == ([findings.FLIPPED], 1)
    live.now = lambda: now + 16 * DAY
    assert verify(live, selection=week)[1].hashed == 5


def test_a_catalog_made_from_the_files_knows_of_no_verification(
    live: Root, stored: list[Stored]
) -> None:
    for name in ("catalog.sqlite", "journal/complete"):
        if os.path.exists(f"{live.path}/{name}"):
            os.unlink(f"{live.path}/{name}")
    assert verify(live, selection=Selection(older_than=7 * DAY))[1].hashed == 5


def test_verifying_changes_nothing_but_the_catalog(live: Root, stored: list[Stored]) -> None:
    damage.flip(stored[0].path, keep_times=True)
    os.unlink(stored[1].path)
    make(f"{live.path}/objects/stray")
    keeper_of(live).open().close()
    before = listing(live.path)
    times = [os.stat(each.path).st_atime_ns for each in stored if os.path.exists(each.path)]
    assert len(verify(live)[0]) == 3
    after = listing(live.path)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= {"catalog.sqlite", ".", "locks", "locks/catalog"}
    assert times == [os.stat(each.path).st_atime_ns for each in stored if os.path.exists(each.path)]


def test_what_is_purged_or_forgotten_meanwhile_is_nothing_wrong(
    live: Root, stored: list[Stored]
) -> None:
    keeper = keeper_of(live)
    verifier = Verifier(keeper, selection=Selection(), random=random.Random(1))
    # The walk of the objects has ended, the entries come next.
    keeper.progress = lambda _phase, done, total: done == total and purge()  # type: ignore[func-returns-value]

    def purge() -> None:
        os.unlink(stored[0].path)
        URLIndex(live).forget("https://host/0")

    assert list(verifier.run()) == []


def test_a_rate_is_kept_by_sleeping_and_not_saved_up() -> None:
    now = 0.0
    slept = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    throttle = Throttle(1000.0, clock=lambda: now, sleep=sleep)
    for _ in range(3):
        throttle.update(bytes(500))
    assert slept == [0.5, 0.5, 0.5]
    now += 100.0  # a slow disk
    throttle.update(bytes(2000))
    assert slept[-1] == 2.0


def test_verification_is_slowed_down_by_the_throttle(live: Root, stored: list[Stored]) -> None:
    taken: list[int] = []

    class Counter(Throttle):
        def update(self, data: bytes | memoryview, /) -> None:
            taken.append(len(data))

    verifier = Verifier(
        keeper_of(live), selection=Selection(), random=random.Random(1), throttle=Counter(1.0)
    )
    assert list(verifier.run()) == []
    assert sum(taken) == verifier.done.bytes == sum(each.size for each in stored)
