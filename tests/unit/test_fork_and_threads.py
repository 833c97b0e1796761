"""One cache used by many threads, and by children forked at bad moments."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

import pytest

from fscache.cache import Cache
from fscache.errors import LockTimeoutError
from fscache.objects.digest import digest_of
from fscache.urls.index import URLIndex
from tests.support.listing import files
from tests.support.processes import in_child
from tests.support.staging import URL, stage_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.records.root import Root
    from tests.conftest import Clock
    from tests.support.staging import Stage

THREADS = 16


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def together(work: Callable[[int], None], count: int = THREADS) -> None:
    """Run `work(number)` in threads that start at one moment; raise what any of them raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as exc:  # noqa: BLE001 - raised below
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]


def is_free(root: Root) -> bool:
    try:
        with root.exclusive(timeout=0):
            return True
    except LockTimeoutError:
        return False


# -- threads ----------------------------------------------------------------------------------


def test_threads_that_put_the_same_bytes_share_one_object(root: Root) -> None:
    objects = root.objects()
    data = os.urandom(100_000)
    paths: list[str] = []

    def put(number: int) -> None:
        for _ in range(5):
            stored = objects.put_bytes(data) if number % 2 else stream(data)
            paths.append(stored)  # type: ignore[arg-type]

    def stream(data: bytes) -> object:
        return objects.put_stream(io.BytesIO(data).readinto)

    together(put)
    assert len({stored.path for stored in paths}) == 1  # type: ignore[attr-defined]
    assert sum(stored.new for stored in paths) == 1  # type: ignore[attr-defined]
    assert len(files(f"{root.path}/objects")) == 1
    assert files(f"{root.path}/partial") == []
    assert is_free(root)


def test_threads_that_put_different_bytes_get_each_their_own(root: Root) -> None:
    objects = root.objects()
    made: dict[bytes, str] = {}

    def put(number: int) -> None:
        for count in range(20):
            data = f"{number} {count}".encode() * (count + 1)
            made[data] = objects.put_bytes(data).path

    together(put)
    assert len(made) == THREADS * 20
    assert all(read(path) == data for data, path in made.items())
    assert files(f"{root.path}/partial") == []


def test_threads_that_make_the_root_by_their_first_put_make_one(
    root_path: str, clock: Clock
) -> None:
    cache = Cache(root_path, now=clock)
    addresses: list[str] = []
    together(lambda number: addresses.append(cache.put(b"bytes")))
    assert set(addresses) == {digest_of(b"bytes")[:20]}
    assert files(f"{root_path}/partial") == []


def test_threads_see_an_entry_before_or_after_and_never_between(
    root: Root, stage: Stage, index: URLIndex
) -> None:
    versions = [b"version %d, " % number * (number + 1) for number in range(THREADS)]
    stage(URL, versions[0])
    done = threading.Event()

    def work(number: int) -> None:
        if number < 4:
            while not done.is_set():
                hit = URLIndex(root).find(URL)
                assert hit is not None
                assert read(hit.path) in versions
            return
        try:
            for version in versions:
                root.entries("kv/test", b"key").write(b"name", version)
                assert root.entries("kv/test", b"key").read(b"name") in versions
            if number == 4:
                for version in versions:
                    stage_into(root, URL, version)
        finally:
            if number == 4:
                done.set()

    together(work)
    hit = index.find(URL)
    assert hit is not None
    assert read(hit.path) == versions[-1]


def test_threads_that_hit_get_one_path(root: Root, stage: Stage, clock: Clock) -> None:
    path = stage(URL, b"bytes")
    cache = Cache(root.path, now=clock)
    found: set[str] = set()

    def hit(_number: int) -> None:
        for _ in range(200):
            found.add(str(cache.get(URL)))
            clock.advance(0.3)

    together(hit)
    assert found == {path}


def test_threads_that_put_while_others_want_the_root_for_themselves_all_end(root: Root) -> None:
    objects = root.objects()
    inside: list[int] = []

    def work(number: int) -> None:
        for count in range(10):
            if number < 2:
                with root.exclusive(timeout=60):
                    inside.append(number)
                    assert len(inside) == 1
                    inside.pop()
            else:
                objects.put_bytes(b"%d %d" % (number, count))

    together(work)
    assert is_free(root)


# -- forks ------------------------------------------------------------------------------------


def test_a_child_goes_on_with_the_cache_of_its_parent(root: Root, stage: Stage) -> None:
    cache = Cache(root.path)
    stage(URL, b"bytes")
    cache.get(URL)
    cache.put(b"parent's")

    def use() -> tuple[str, bytes]:
        return cache.put(b"child's"), read(str(cache.get(URL)))

    address, data = in_child(use)
    assert data == b"bytes"
    assert read(str(cache.path(address))) == b"child's"
    assert read(str(cache.path(cache.put(b"parent's")))) == b"parent's"
    assert files(f"{root.path}/partial") == []


@pytest.mark.parametrize("moment", ["before", "inside"])
def test_a_child_forked_while_a_thread_puts_neither_holds_up_nor_sets_free(
    root: Root, moment: str
) -> None:
    objects = root.objects()
    objects.put_bytes(b"first")  # the lock files are open
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with root.shared:
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    if moment == "inside":
        thread.start()
        entered.wait(20)
    in_child(lambda: objects.put_bytes(b"child's").path)
    if moment == "before":
        thread.start()
        entered.wait(20)
    assert not is_free(root)
    leave.set()
    thread.join(20)
    assert is_free(root)


def test_a_child_that_lives_on_holds_up_nobody(root: Root) -> None:
    read_end, write_end = os.pipe()
    with root.shared:
        pid = os.fork()
        if pid == 0:
            os.close(write_end)
            os.read(read_end, 1)  # until the parent is done
            os._exit(0)
    assert is_free(root)
    os.close(read_end)
    os.close(write_end)
    os.waitpid(pid, 0)


def test_children_and_parent_write_temporary_files_of_their_own(root: Root) -> None:
    objects = root.objects()
    objects.put_bytes(b"first")

    def put(number: int) -> None:
        for count in range(20):
            in_child(lambda: objects.put_bytes(b"child %d %d" % (number, count)).path)  # noqa: B023
            objects.put_bytes(b"parent %d %d" % (number, count))

    together(put, 4)
    assert len(files(f"{root.path}/objects")) == 1 + 4 * 20 * 2
    assert all(
        digest_of(read(f"{root.path}/objects/{name}"))[:20] == name.replace("/", "")
        for name in files(f"{root.path}/objects")
    )
    assert files(f"{root.path}/partial") == []


def test_a_cache_that_is_forgotten_gives_its_descriptors_back(root_path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        cache = Cache(root_path)
        cache.put(b"%d" % number)
        cache.close()
        del cache
    assert len(os.listdir("/proc/self/fd")) <= before + 1
