"""What a loss of power may leave of a durable writer's work: all of it, or nothing torn.

Killing a process cannot show a missing sync: the kernel still has the bytes. Here the calls of a run
are recorded, and every disk that a loss of power may leave is judged (`tests.support.power`).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from fscache.fs import group
from fscache.kv.local import LocalStore
from fscache.objects.digest import digest_of
from fscache.records.root import Root
from fscache.urls.index import URLIndex
from tests.support.power import Disk, Losses, losses
from tests.support.staging import URL, stage_into
from tests.support.strace import traced

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.records.entries import EntryStore

pytestmark = pytest.mark.usefixtures("injection")

NEW = b"new bytes, " * 1000
NOTHING: frozenset[str] = frozenset()


@pytest.fixture
def top(quick_tmp: str) -> str:
    return f"{quick_tmp}/cache"


def open_root(path: str, *, durable: bool = True) -> Root:
    root = Root(path, now=time.time, durable=durable)
    root.ensure()
    return root


def judged(
    directory: str, work: Callable[[], object], *, there: list[str], gone: list[str] | None = None
) -> Losses:
    disk = Disk(directory)
    run = traced(work)
    assert run.error is None, run.error
    for path in there:
        assert os.path.exists(path), path
    calls = [call for call in run.calls if directory in call.text]
    return losses(disk, calls, there=there, gone=gone or [])


# -- durable ----------------------------------------------------------------------------------


def test_a_root_is_durable_when_it_is_made(quick_tmp: str, top: str) -> None:
    found = judged(
        quick_tmp, lambda: open_root(top), there=[f"{top}/FORMAT", f"{top}/CACHEDIR.TAG"]
    )
    assert (found.torn, found.lost) == (NOTHING, NOTHING)
    assert found.images > 50


def test_a_durable_object_is_never_torn_and_never_lost(top: str) -> None:
    root = open_root(top)
    path = _path_of(root, NEW)

    def put() -> None:
        open_root(top).objects().put_bytes(NEW)

    found = judged(top, put, there=[path])
    assert (found.torn, found.lost) == (NOTHING, NOTHING)
    assert found.images > 20


def test_a_durable_entry_is_the_old_or_the_new_one(top: str) -> None:
    entries = _entries(open_root(top))
    entries.write(b"name", b"old")
    path = entries.path(b"name")
    found = judged(top, lambda: _entries(open_root(top)).write(b"name", NEW), there=[path])
    assert (found.torn, found.lost) == (NOTHING, NOTHING)
    assert found.images > 10


def test_a_durable_deletion_stays_one(top: str) -> None:
    entries = _entries(open_root(top))
    entries.write(b"name", b"old")
    path = entries.path(b"name")
    found = judged(top, lambda: _entries(open_root(top)).delete(b"name"), there=[], gone=[path])
    assert (found.torn, found.back) == (NOTHING, NOTHING)


def test_what_was_flushed_of_a_store_is_there_with_its_directories(
    top: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One call after the other: strace tells of two at once in halves, which nobody here puts together.
    monkeypatch.setattr(group, "_AT_ONCE", 1)
    monkeypatch.setattr(group.Group, "_start", lambda _self: None)
    root = open_root(top)
    entries = root.entries("kv/default", b"key")
    there = [entries.path(key.encode()) for key in ("key", "other")]

    def put() -> None:
        kv = LocalStore(open_root(top))
        kv.put("key", 1)
        kv.flush()
        kv.put("key", 2)
        kv.put("other", 3)
        kv.flush()

    found = judged(top, put, there=there)
    assert found.lost == NOTHING
    assert found.images > 20


def _entries(root: Root) -> EntryStore:
    return root.entries("kv/test", b"key")


def test_what_can_be_fetched_again_is_not_synced_and_a_miss_where_it_is_torn(top: str) -> None:
    """A sync of object, entry and their directories costs more than most transfers."""
    root = open_root(top)
    there = [_path_of(root, NEW), root.entries("urls", b"url").path(URL.encode())]
    run = traced(lambda: stage_into(open_root(top), URL, NEW))
    assert run.error is None
    assert not [call for call in run.calls if "sync" in call.name]
    index = URLIndex(root)
    assert index.find(URL) is not None
    for path in there:
        os.chmod(path, 0o644)
        os.truncate(path, os.path.getsize(path) - 1)
        assert index.find(URL) is None
        stage_into(root, URL, NEW)
        assert index.find(URL) is not None


# -- what the test would find -----------------------------------------------------------------


def test_without_durability_names_may_be_torn_and_lost(top: str) -> None:
    root = open_root(top, durable=False)
    path = _path_of(root, NEW)

    def put() -> None:
        open_root(top, durable=False).objects().put_bytes(NEW)

    found = judged(top, put, there=[path])
    assert found.torn == found.lost == {path}


def _in_place(top: str) -> None:
    with open(f"{top}/final", "wb", buffering=0) as file:
        file.write(NEW)
        os.fsync(file.fileno())
    _sync(top)


def _named_before_synced(top: str) -> None:
    with open(f"{top}/temporary", "wb", buffering=0) as file:
        file.write(NEW)
        os.rename(f"{top}/temporary", f"{top}/final")
        fd = os.open(f"{top}/final", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    _sync(top)


def _never_synced(top: str) -> None:
    with open(f"{top}/temporary", "wb", buffering=0) as file:
        file.write(NEW)
    os.rename(f"{top}/temporary", f"{top}/final")
    _sync(top)


def _name_not_synced(top: str) -> None:
    with open(f"{top}/temporary", "wb", buffering=0) as file:
        file.write(NEW)
        os.fsync(file.fileno())
    os.rename(f"{top}/temporary", f"{top}/final")


def _directory_not_synced(top: str) -> None:
    os.mkdir(f"{top}/made")
    with open(f"{top}/temporary", "wb", buffering=0) as file:
        file.write(NEW)
        os.fsync(file.fileno())
    os.rename(f"{top}/temporary", f"{top}/made/final")
    _sync(f"{top}/made")


def _written_after_synced(top: str) -> None:
    with open(f"{top}/temporary", "wb", buffering=0) as file:
        file.write(NEW)
        os.fsync(file.fileno())
        file.write(b"one more thing")
    os.rename(f"{top}/temporary", f"{top}/final")
    _sync(top)


def _right(top: str) -> None:
    with open(f"{top}/temporary", "wb", buffering=0) as file:
        file.write(NEW)
        os.fsync(file.fileno())
    os.rename(f"{top}/temporary", f"{top}/final")
    _sync(top)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("write", "torn", "lost"),
    [
        (_right, False, False),
        (_in_place, True, False),
        (_named_before_synced, True, False),
        (_never_synced, True, False),
        (_written_after_synced, True, False),
        (_name_not_synced, False, True),
        (_directory_not_synced, False, True),
    ],
)
def test_the_faults_of_careless_writers_are_found(
    quick_tmp: str, write: Callable[[str], None], torn: bool, lost: bool
) -> None:
    directory = f"{quick_tmp}/final-names"
    os.mkdir(directory)
    disk = Disk(directory)
    run = traced(lambda: write(directory))
    assert run.error is None
    final = f"{directory}/made/final" if write is _directory_not_synced else f"{directory}/final"
    found = losses(disk, run.calls, there=[final])
    assert (final in found.torn, final in found.lost) == (torn, lost)


def _path_of(root: Root, data: bytes) -> str:
    return root.objects().locate(digest_of(data)[:20])
