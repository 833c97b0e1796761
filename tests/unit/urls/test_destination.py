"""Promises of fscache.urls.destination: what the stager may rely on."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import stat
from typing import TYPE_CHECKING

import pytest

from fscache.errors import NoSpaceError, StoreError, StoreFullError
from fscache.fs.atomic import Modes
from fscache.objects.digest import digest_of
from fscache.records.root import Root
from fscache.units import format_size
from fscache.urls.destination import CacheClaim, CacheDestination
from fscache.urls.index import URLIndex
from stager.destination import Validator
from tests.support.listing import files
from tests.support.processes import ALICE, BOB, LAB, in_child
from tests.support.staging import URL, stage_into, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Clock
    from tests.support.staging import Stage

DATA = b"the bytes of a file\n"


@pytest.fixture
def destination(root: Root, index: URLIndex) -> CacheDestination:
    return CacheDestination(root, index, max_size=None)


@pytest.fixture
def claim(destination: CacheDestination) -> Iterator[Callable[..., CacheClaim]]:
    claims = []

    def run(data: bytes = b"", url: str = URL) -> CacheClaim:
        claims.append(destination.claim(url))
        assert claims[-1] is not None
        os.write(claims[-1].fd, data)
        return claims[-1]

    yield run
    for each in claims:
        each.release(keep=False)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# -- commit -----------------------------------------------------------------------------------


def test_a_commit_is_the_object_and_the_entry_and_nothing_is_left(
    claim: Callable[..., CacheClaim], index: URLIndex, root: Root, clock: Clock
) -> None:
    one = claim(DATA)
    one.note(Validator('"v1"'))
    path = one.commit(staged(URL, DATA, fetched_from="https://mirror/file"))
    assert read(path) == DATA
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o444
    hit = index.find(URL)
    assert hit is not None
    assert hit.path == path
    assert hit.entry.etag == '"v1"'
    assert hit.entry.fetched_from == "https://mirror/file"
    assert hit.entry.fetched_at == hit.entry.checked_at == clock.now
    assert hit.entry.checksums["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert "@" in hit.entry.staged_by
    assert files(f"{root.path}/partial") == []


def test_a_commit_copies_nothing(claim: Callable[..., CacheClaim]) -> None:
    one = claim(DATA)
    inode = os.fstat(one.fd).st_ino
    assert os.stat(one.commit(staged(URL, DATA))).st_ino == inode


def test_after_a_commit_giving_up_does_nothing(
    claim: Callable[..., CacheClaim], index: URLIndex
) -> None:
    one = claim(DATA)
    one.commit(staged(URL, DATA))
    one.release(keep=False)
    one.release(keep=True)
    assert index.find(URL) is not None


def test_known_bytes_of_a_new_url_are_kept_once_and_reported(
    stage: Stage, root: Root, caplog: pytest.LogCaptureFixture
) -> None:
    path = stage(URL, DATA)
    with caplog.at_level(logging.INFO, "fscache"):
        assert stage(URL + "2", DATA) == path
        assert URL + "2" in caplog.text
        caplog.clear()
        stage(URL, DATA)  # seen with these bytes before
        stage(URL + "3", b"other")
        assert caplog.text == ""
    assert len(files(f"{root.path}/objects")) == 2
    assert files(f"{root.path}/partial") == []


def test_new_bytes_of_a_url_take_its_place(stage: Stage, index: URLIndex) -> None:
    old = stage(URL, DATA)
    new = stage(URL, b"new")
    hit = index.find(URL)
    assert hit is not None
    assert (hit.path, read(new), read(old)) == (new, b"new", DATA)


def test_colliding_bytes_take_the_next_slot_and_the_entry_says_so(
    stage: Stage, root: Root, index: URLIndex
) -> None:
    path = root.objects().locate(digest_of(DATA)[:20])
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(b"an attacker's bytes!")
    assert stage(URL, DATA) == f"{path}-1"
    hit = index.find(URL, verify=True)
    assert hit is not None
    assert (hit.entry.slot, read(hit.path)) == (1, DATA)


def test_an_entry_that_cannot_be_written_is_a_typed_error_and_the_next_attempt_succeeds(
    claim: Callable[..., CacheClaim], stage: Stage, root: Root, index: URLIndex
) -> None:
    os.rmdir(f"{root.path}/urls")
    with open(f"{root.path}/urls", "wb"):
        pass
    one = claim(DATA)
    with pytest.raises(StoreError):
        one.commit(staged(URL, DATA))
    one.release(keep=True)
    os.unlink(f"{root.path}/urls")
    assert index.find(URL) is None
    stage(URL, DATA)
    assert index.find(URL) is not None
    assert files(f"{root.path}/partial") == []


@pytest.mark.parametrize("keep", [False, True])
def test_a_commit_that_fails_can_be_given_up_and_leaves_nothing_for_ever(
    claim: Callable[..., CacheClaim], root: Root, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    def full(_source: str, _final: str) -> None:
        raise OSError(28, "No space left on device")

    one = claim(DATA)
    one.note(Validator('"v1"'))
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreFullError):
        one.commit(staged(URL, DATA))
    monkeypatch.undo()
    one.release(keep=keep)
    assert keep or files(f"{root.path}/partial") == []
    claim(DATA).commit(staged(URL, DATA))
    assert files(f"{root.path}/partial") == []


# -- locks that lie ---------------------------------------------------------------------------


@pytest.fixture
def lying_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)


@pytest.mark.usefixtures("lying_locks")
def test_where_locks_lie_two_fetches_of_one_url_both_end_with_right_bytes(
    claim: Callable[..., CacheClaim], root: Root, index: URLIndex
) -> None:
    first = claim(b"version 1")
    second = claim(b"version 2, unfin")
    path = first.commit(staged(URL, b"version 1"))
    assert read(path) == b"version 1"
    os.write(second.fd, b"ished")
    path = second.commit(staged(URL, b"version 2, unfinished"))
    assert read(path) == b"version 2, unfinished"
    hit = index.find(URL, verify=True)
    assert hit is not None
    assert hit.path == path
    assert files(f"{root.path}/partial") == []


@pytest.mark.usefixtures("lying_locks")
@pytest.mark.parametrize("unfinished", [b"", b"version 1, but not"])
def test_a_name_that_is_taken_in_the_last_moment_publishes_no_unfinished_file(
    claim: Callable[..., CacheClaim],
    root: Root,
    monkeypatch: pytest.MonkeyPatch,
    unfinished: bytes,
) -> None:
    first = claim(b"version 1")
    real = os.link

    def taken(source: str, final: str) -> None:
        monkeypatch.setattr(os, "link", real)
        other = claim(unfinished)
        assert other.fd != first.fd
        real(source, final)

    monkeypatch.setattr(os, "link", taken)
    path = first.commit(staged(URL, b"version 1"))
    assert read(path) == b"version 1"
    for name in files(f"{root.path}/objects"):
        assert digest_of(read(f"{root.path}/objects/{name}"))[:20] == name.replace("/", "")


@pytest.mark.usefixtures("lying_locks")
def test_a_name_that_is_gone_in_the_last_moment_costs_a_copy(
    claim: Callable[..., CacheClaim], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = claim(b"version 1")
    real = os.link

    def gone(source: str, final: str) -> None:
        if source.endswith(".part"):
            os.unlink(source) if os.path.exists(source) else None
        real(source, final)

    monkeypatch.setattr(os, "link", gone)
    assert read(first.commit(staged(URL, b"version 1"))) == b"version 1"


def test_bytes_that_another_changed_are_not_recorded_as_verified(
    claim: Callable[..., CacheClaim], index: URLIndex
) -> None:
    first = claim(DATA)
    os.unlink(f"{index._root.path}/partial/{files(f'{index._root.path}/partial')[0]}")
    os.pwrite(first.fd, b"X", 0)
    with pytest.raises(StoreError, match="changed"):
        first.commit(staged(URL, DATA))
    assert index.find(URL) is None


# -- claims -----------------------------------------------------------------------------------


def test_one_claim_at_a_time_and_what_is_kept_is_resumed(
    claim: Callable[..., CacheClaim], destination: CacheDestination
) -> None:
    first = claim(b"first half, ")
    assert destination.claim(URL) is None
    first.note(Validator('"v1"'))
    first.release(keep=True)
    second = claim()
    assert second.kept == 12
    assert second.validator == Validator('"v1"')
    os.write(second.fd, b"second half")
    path = second.commit(staged(URL, b"first half, second half"))
    assert read(path) == b"first half, second half"


def test_what_is_not_kept_is_gone(claim: Callable[..., CacheClaim], root: Root) -> None:
    first = claim(DATA)
    first.note(Validator('"v1"'))
    first.release(keep=False)
    assert files(f"{root.path}/partial") == []


def test_a_restart_begins_with_nothing(claim: Callable[..., CacheClaim]) -> None:
    first = claim(DATA)
    first.note(Validator('"v1"'))
    first.restart()
    assert (first.kept, first.validator, os.fstat(first.fd).st_size) == (0, None, 0)
    os.write(first.fd, b"new")
    assert read(first.commit(staged(URL, b"new"))) == b"new"


def test_a_claim_in_a_root_that_cannot_be_written_is_a_typed_error(
    destination: CacheDestination, root: Root
) -> None:
    os.rmdir(f"{root.path}/partial")
    with open(f"{root.path}/partial", "wb"):
        pass
    with pytest.raises(StoreError):
        destination.claim(URL)


@pytest.mark.usefixtures("users")
def test_one_user_of_a_group_finishes_what_another_began(open_tmp: str, clock: Clock) -> None:
    os.chown(open_tmp, 0, LAB)
    os.chmod(open_tmp, 0o2770)

    def begin() -> None:
        root = Root(f"{open_tmp}/cache", now=clock, modes=Modes(LAB, world_readable=False))
        root.ensure()
        one = CacheDestination(root, URLIndex(root), max_size=None).claim(URL)
        assert one is not None
        one.note(Validator('"v1"'))
        os.write(one.fd, b"first half, ")

    def finish() -> tuple[str, int]:
        root = Root(f"{open_tmp}/cache", now=clock, modes=Modes(LAB, world_readable=False))
        destination = CacheDestination(root, URLIndex(root), max_size=None)
        one = destination.claim(URL)
        assert one is not None
        kept = one.kept
        os.write(one.fd, b"second half")
        return one.commit(staged(URL, b"first half, second half")), kept

    in_child(begin, uid=ALICE, groups=[LAB], umask=0o077)
    path, kept = in_child(finish, uid=BOB, groups=[LAB], umask=0o077)
    assert kept == 12
    assert read(path) == b"first half, second half"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o440


# -- lookup and touch -------------------------------------------------------------------------


def test_what_is_here_is_looked_up_with_its_checksum(
    destination: CacheDestination, stage: Stage
) -> None:
    assert destination.lookup(URL, None) is None
    path = stage(URL, DATA)
    assert destination.lookup(URL, None) == path
    assert destination.lookup(URL, ("sha256", hashlib.sha256(DATA).hexdigest())) == path
    assert destination.lookup(URL, ("md5", hashlib.md5(DATA).hexdigest())) == path
    assert destination.lookup(URL, ("md5", "0" * 32)) is None


def test_not_modified_renews_the_check_and_not_the_fetch(
    destination: CacheDestination, stage: Stage, index: URLIndex, clock: Clock
) -> None:
    path = stage(URL, DATA)
    fetched = clock.now
    clock.advance(1000)
    assert destination.touch(staged(URL, DATA)) == path
    entry = index.entry(URL)
    assert entry is not None
    assert (entry.fetched_at, entry.checked_at) == (fetched, clock.now)


def test_not_modified_of_what_is_gone_says_so(
    destination: CacheDestination, stage: Stage, index: URLIndex
) -> None:
    os.unlink(stage(URL, DATA))
    assert destination.touch(staged(URL, DATA)) is None
    index.forget(URL)
    assert destination.touch(staged(URL, DATA)) is None


# -- space ------------------------------------------------------------------------------------


def test_what_is_larger_than_the_cache_may_be_never_fits(root: Root, index: URLIndex) -> None:
    destination = CacheDestination(root, index, max_size=1000)
    destination.reserve(URL, 1000).release()
    with pytest.raises(NoSpaceError) as caught:
        destination.reserve(URL, 1001)
    assert not caught.value.fits_ever
    assert (caught.value.needed, caught.value.free) == (1001, 1000)
    why = "1001 B, and the whole cache may hold 1000 B (max_size)"
    assert str(caught.value) == f"{URL}: {why}"


def test_what_is_larger_than_the_file_system_never_fits(destination: CacheDestination) -> None:
    with pytest.raises(NoSpaceError) as caught:
        destination.reserve(URL, 1 << 60)
    assert not caught.value.fits_ever
    free = format_size(caught.value.free)
    why = f"no room for 1024.0 PiB and 16.0 MiB to spare: {free} are free"
    assert str(caught.value) == f"{URL}: {why}"


def test_what_is_set_aside_is_not_given_twice_and_comes_back(
    destination: CacheDestination, root: Root
) -> None:
    system = os.statvfs(root.path)
    most = system.f_bavail * system.f_frsize * 2 // 3
    first = destination.reserve(URL, most)
    with pytest.raises(NoSpaceError) as caught:
        destination.reserve(URL, most)
    assert caught.value.fits_ever
    first.release()
    first.release()
    destination.reserve(URL, most).release()


def test_what_has_been_written_is_not_counted_twice(
    destination: CacheDestination, root: Root
) -> None:
    system = os.statvfs(root.path)
    most = system.f_bavail * system.f_frsize * 2 // 3
    first = destination.reserve(URL, most)
    first.spend(most - 1)
    second = destination.reserve(URL, most)
    first.spend(most)  # more than is left of it: the rest
    first.release()
    with pytest.raises(NoSpaceError):
        destination.reserve(URL, most)
    second.release()


def test_room_is_made_before_space_is_looked_at(root: Root, index: URLIndex) -> None:
    asked: list[int] = []
    destination = CacheDestination(root, index, max_size=None, make_room=asked.append)
    destination.reserve(URL, 7).release()
    assert asked == [7]


def test_staging_into_two_roots_mixes_nothing(root: Root, clock: Clock) -> None:
    other = Root(f"{root.path}-2", now=clock)
    other.ensure()
    path, elsewhere = stage_into(root, URL, b"1"), stage_into(other, URL, b"2")
    assert (read(path), read(elsewhere)) == (b"1", b"2")
    assert elsewhere.startswith(f"{root.path}-2/")
