"""Promises of fscache.admin.repair: what is bad gets out of the way, and comes again from its URL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.admin import findings
from fscache.admin.findings import Finding
from fscache.admin.repair import Repairer
from fscache.cache import Cache
from fscache.config import load
from fscache.kv.local import LocalStore
from fscache.records.root import Root
from tests.support import damage
from tests.support.catalogs import (
    assert_catalog_is_true,
    keep,
    keeper_of,
    objects_on_disk,
    open_root,
)
from tests.support.listing import files
from tests.support.origin import Origin, Page, failing
from tests.support.wrecks import verify, wreck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODIES = [b"body %d, " % number * 100 for number in range(7)]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache", config=load({"HOME": str(tmp_path)})) as opened:
        yield opened


@pytest.fixture
def urls(origin: Origin) -> list[str]:
    return [origin.add(f"/{number}", body) for number, body in enumerate(BODIES)]


def never(url: str) -> object:
    raise AssertionError(f"{url} is fetched")


def test_everything_that_can_go_wrong_is_found_repaired_and_found_right(
    cache: Cache, urls: list[str]
) -> None:
    cache.get_many(urls)
    wrecked = wreck(cache, urls)
    root = cache.root
    found, done = verify(root, refetch=cache.get)
    assert {finding.what: finding.path for finding in found} == wrecked.places
    assert done.found == len(found) == len(findings.MEANINGS) - 1  # all but the unreadable
    assert [each for each in found if not each.repaired] == []
    # Right again, all of it, and by looking it up as a job does.
    for url, body in zip(urls, BODIES, strict=True):
        if url == urls[5]:
            continue  # its entry could not be read, so nobody knows what it was
        path = cache.lookup(url)
        assert path is not None, url
        assert path.read_bytes() == body
    assert cache.lookup(urls[5]) is None
    assert cache.get(urls[5]).read_bytes() == BODIES[5]
    assert verify(Root(root.path, now=root.now))[0] == []
    assert_catalog_is_true(root)
    # What was bad is not thrown away.
    kept = files(f"{root.path}/quarantine")
    assert len(kept) == 5
    assert {len(name.split(".")) for name in kept} == {2}


def test_an_unknown_object_that_is_damaged_is_one_finding(cache: Cache) -> None:
    cache.root.ensure()
    stored = cache.root.objects().put_bytes(BODIES[0])  # and no record
    damage.flip(stored.path)
    # What is this new might be a put under way.
    later = Root(cache.root.path, now=lambda: cache.root.now() + 60.0)
    (finding,), done = verify(later, refetch=never)
    assert (finding.what, finding.repaired) == (findings.FLIPPED, "moved to quarantine")
    assert done.found == 1
    assert verify(later)[0] == []


def test_one_fetch_for_each_that_is_needed(cache: Cache, urls: list[str], origin: Origin) -> None:
    cache.get_many(urls)
    wreck(cache, urls)
    verify(cache.root, refetch=cache.get)
    asked = [len(origin.seen(f"/{number}")) for number in range(7)]
    assert asked == [2, 2, 2, 1, 2, 1, 1]


def test_an_object_of_two_urls_serves_both_again(cache: Cache, origin: Origin) -> None:
    urls = [origin.add(path, b"the same bytes") for path in ("/a", "/b")]
    (path, _) = cache.get_many(urls)
    damage.flip(str(path), keep_times=True)
    (finding,), _ = verify(cache.root, refetch=cache.get)
    assert finding.names == tuple(sorted(urls))
    assert finding.repaired == "moved to quarantine, fetched again"
    assert [cache.path(url).read_bytes() for url in urls] == [b"the same bytes"] * 2


def test_the_first_url_that_answers_will_do(cache: Cache, origin: Origin) -> None:
    """Both stand for one object; that one of the origins has gone loses nothing."""
    urls = [origin.add(path, b"the same bytes") for path in ("/a", "/b")]
    (path, _) = cache.get_many(urls)
    origin.add("/a", failing(404))
    damage.flip(str(path), keep_times=True)
    found, _ = verify(cache.root, refetch=cache.get)
    assert [each.repaired for each in found] == ["moved to quarantine, fetched again"]
    assert [cache.path(url).read_bytes() for url in urls] == [b"the same bytes"] * 2


def test_an_origin_that_has_other_bytes_now_is_a_new_version(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"old bytes")
    old = cache.get(url)
    origin.add("/a", b"new bytes")
    damage.flip(str(old), keep_times=True)
    ((finding),), _ = verify(cache.root, refetch=cache.get)
    assert finding.repaired
    assert cache.path(url).read_bytes() == b"new bytes"


@pytest.mark.parametrize("what", ["flipped", "dangling"])
def test_an_origin_that_is_gone_leaves_it_unrepaired_and_says_so(
    cache: Cache, origin: Origin, what: str
) -> None:
    url = origin.add("/a", b"bytes")
    path = str(cache.get(url))
    origin.add("/a", failing(404))
    damage.flip(path, keep_times=True) if what == "flipped" else os.unlink(path)
    found, _ = verify(cache.root, refetch=cache.get)
    assert found[0].what == what
    assert {each.repaired for each in found} == {""}
    assert "404" in found[0].detail
    assert not os.path.exists(path)  # wrong bytes are served to nobody, whatever becomes of them


def test_bytes_that_nobody_can_fetch_again_are_put_aside(cache: Cache) -> None:
    root = cache.root
    address = cache.put(b"bare")
    cache.kv.put("large", bytes(100_000))
    large = next(a for a, size in objects_on_disk(root).items() if size == 100_000)
    for each in (address, large):
        damage.flip(str(cache.path(each)), keep_times=True)
    found, _ = verify(root, refetch=never)
    by_path = {each.path: each for each in found if each.what == findings.FLIPPED}
    assert len(by_path) == 2
    for each in by_path.values():
        assert each.repaired == "moved to quarantine"
        assert "no URL to fetch it from" in each.detail
    assert objects_on_disk(root) == {}
    # The key-value that has lost its body is reported, and stays for whoever knows what it was.
    assert [each.names for each in found if each.what == findings.DANGLING] == [("default/large",)]
    assert LocalStore(root).get("large", None) is None


def test_an_orphan_is_entered_and_purged_like_any_other(tmp_path: Path) -> None:
    root = open_root(str(tmp_path / "cache"))
    keeper = keeper_of(root)
    keeper.open().close()
    orphan = root.objects().put_bytes(b"rsynced")
    finding = Finding(findings.ORPHANED, orphan.path)
    Repairer(keeper, never).repair(finding)
    assert finding.repaired == "entered into the catalog"
    assert_catalog_is_true(root)


def test_a_partial_file_that_is_being_written_stays(tmp_path: Path) -> None:
    import fcntl

    root = open_root(str(tmp_path / "cache"))
    path = f"{root.path}/partial/x.part"
    finding = Finding(findings.LEFTOVER, path)
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Repairer(keeper_of(root), never).repair(finding)
        assert (finding.repaired, os.path.exists(path)) == ("", True)
    Repairer(keeper_of(root), never).repair(finding)
    assert (finding.repaired, os.path.exists(path)) == ("removed", False)


def test_what_is_gone_meanwhile_is_said(tmp_path: Path) -> None:
    root = open_root(str(tmp_path / "cache"))
    finding = Finding(findings.STRAY, f"{root.path}/objects/none")
    Repairer(keeper_of(root), never).repair(finding)
    assert (finding.repaired, finding.detail) == ("", "; gone meanwhile")


def test_a_stray_directory_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    root = open_root(str(tmp_path / "cache"))
    keep(root, b"x", "https://host/x")
    os.makedirs(f"{root.path}/objects/old stuff/below")
    with open(f"{root.path}/objects/old stuff/below/file", "wb") as file:
        file.write(b"?")
    (finding,), _ = verify(root, refetch=never)
    assert finding.repaired == "moved to quarantine"
    assert [name.rpartition("/")[2] for name in files(f"{root.path}/quarantine")] == ["file"]
    assert verify(root)[0] == []


def test_a_slow_origin_is_fetched_from_while_others_read(cache: Cache, origin: Origin) -> None:
    """The bad bytes are out of the way first: a reader gets a miss or the right ones."""
    url = origin.add("/a", Page(b"bytes" * 1000))
    path = cache.get(url)
    damage.flip(str(path), keep_times=True)
    seen: list[bytes | None] = []

    def refetch(name: str) -> object:
        reader = Cache(cache.root.path, config=cache.config)
        there = reader.lookup(url)
        seen.append(None if there is None else there.read_bytes())
        return cache.get(name)

    verify(cache.root, refetch=refetch)
    assert seen == [None]
    assert path.read_bytes() == b"bytes" * 1000
