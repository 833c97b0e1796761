"""Full disks and limits on files: a typed error, no final name, nothing left; and then it goes on."""

from __future__ import annotations

import io
import os
import resource
import time
from typing import TYPE_CHECKING

import pytest

from fscache import config
from fscache.cache import Cache
from fscache.errors import FscacheError, NoSpaceError, StageError, StoreFullError
from fscache.records.root import Root, translated
from tests.crash.conftest import faults, read
from tests.support.listing import files
from tests.support.mounts import with_tmpfs
from tests.support.origin import Origin, Page
from tests.support.processes import in_child
from tests.support.staging import URL, stage_into

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BIG = 1 << 20
SMALL = b"small"


@pytest.fixture
def disk(tmp_path: Path) -> str:
    os.mkdir(tmp_path / "disk")
    return str(tmp_path / "disk")


def open_cache(path: str) -> Cache:
    return Cache(path, config=config.load({"HOME": path}))


def put_bytes(cache: Cache, data: bytes) -> str:
    return cache.put(data)


def put_stream(cache: Cache, data: bytes) -> str:
    return cache.put(io.BytesIO(data))


def put_many(cache: Cache, addresses: list[str]) -> None:
    for number in range(10_000):
        addresses.append(cache.put(str(number).encode()))  # noqa: PERF401 - it ends with an error


def fill(path: str) -> None:
    with open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def open_many(hold: list[int]) -> None:
    while True:
        hold.append(os.open("/dev/null", os.O_RDONLY))


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("put", [put_bytes, put_stream])
def test_a_put_that_does_not_fit_leaves_the_disk_as_it_was(
    disk: str, put: Callable[[Cache, bytes], str]
) -> None:
    def run() -> tuple[list[str], list[str], bool, list[str]]:
        cache = open_cache(f"{disk}/cache")
        first = cache.put(SMALL)
        before = files(disk)
        free = os.statvfs(disk).f_bavail
        with pytest.raises(StoreFullError) as caught:
            put(cache, os.urandom(BIG))
        assert caught.value.path == f"{disk}/cache"
        after = files(disk)
        same = os.statvfs(disk).f_bavail == free
        assert read(str(cache.path(first))) == SMALL
        put(cache, b"small, too")  # there is room again
        return before, after, same, faults(f"{disk}/cache")

    before, after, same, wrong = with_tmpfs(disk, "size=256k", run)
    assert after == before
    assert same
    assert wrong == []


@pytest.mark.usefixtures("mounts")
def test_a_disk_without_room_for_names_is_full_as_well(disk: str) -> None:
    """No inode is left: directories cannot be made, though there are bytes enough."""

    def run() -> tuple[int, list[str], list[str], list[str]]:
        cache = open_cache(f"{disk}/cache")
        stored: list[str] = []
        with pytest.raises(StoreFullError):
            put_many(cache, stored)
        for number, address in enumerate(stored):
            assert read(str(cache.path(address))) == str(number).encode()
        return len(stored), faults(f"{disk}/cache"), files(f"{disk}/cache/partial"), stored

    count, wrong, left, _stored = with_tmpfs(disk, "size=4m,nr_inodes=100", run)
    assert count > 5
    assert wrong == []
    assert left == []


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("inodes", range(2, 24, 3))
def test_a_root_that_cannot_be_made_whole_is_a_typed_error_and_is_finished_later(
    disk: str, inodes: int
) -> None:
    def run() -> bool:
        root = Root(f"{disk}/cache", now=time.time)
        try:
            with translated(root.path):
                root.ensure()
        except StoreFullError:
            assert not os.path.exists(f"{disk}/cache/FORMAT")
        else:
            return True
        os.system(f"mount -o remount,nr_inodes=1000 {disk}")
        again = Root(f"{disk}/cache", now=time.time)
        assert not again.exists
        again.ensure()
        again.objects().put_bytes(SMALL)
        return Root(f"{disk}/cache", now=time.time).exists and not files(f"{disk}/cache/partial")

    assert with_tmpfs(disk, f"size=1m,nr_inodes={inodes}", run)


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [200_000, BIG, 8 * BIG])
def test_a_url_that_does_not_fit_is_a_typed_error_and_leaves_nothing(
    disk: str, announced: bool, size: int
) -> None:
    with Origin() as origin:
        url = origin.add("/big", Page(os.urandom(size), announced=announced))
        small = origin.add("/small", Page(SMALL))

        def run() -> tuple[str, list[str], list[str]]:
            with open_cache(f"{disk}/cache") as cache:
                kept = cache.get(small)
                with pytest.raises(FscacheError) as caught:
                    cache.get(url)
                assert isinstance(caught.value, (StageError, StoreFullError))
                if announced and size > BIG:
                    assert isinstance(caught.value, NoSpaceError)
                    assert not caught.value.fits_ever
                    assert caught.value.needed == size
                assert read(str(kept)) == SMALL
                assert cache.lookup(url) is None
                os.system(f"mount -o remount,size=64m {disk}")
                assert len(read(str(cache.get(url)))) == size
                return (
                    type(caught.value).__name__,
                    faults(f"{disk}/cache"),
                    files(f"{disk}/cache/partial"),
                )

        name, wrong, left = with_tmpfs(disk, "size=160k", run)
    assert wrong == []
    assert left == []
    assert name in {"NoSpaceError", "StoreFullError", "DestinationError"}


@pytest.mark.usefixtures("mounts")
def test_an_entry_that_does_not_fit_leaves_the_old_one(disk: str) -> None:
    def run() -> tuple[list[str], list[str]]:
        root = Root(f"{disk}/cache", now=time.time)
        root.ensure()
        stage_into(root, URL, b"old")
        with pytest.raises(OSError, match="No space"):
            fill(f"{disk}/ballast")
        with pytest.raises((StoreFullError, OSError)):
            stage_into(root, URL, os.urandom(5000))
        os.unlink(f"{disk}/ballast")
        stage_into(root, URL, b"new")
        return faults(f"{disk}/cache"), files(f"{disk}/cache/partial")

    assert with_tmpfs(disk, "size=512k", run) == ([], [])


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("size", [10, 70_000])
def test_a_key_that_did_not_fit_is_neither_listed_nor_counted(disk: str, size: int) -> None:
    def run() -> tuple[list[str], int]:
        cache = open_cache(f"{disk}/cache")
        cache.kv.put("first", "x")
        cache.kv.put("kept", "y")
        # Bytes for the journal, and no inode for an entry.
        os.system(f"mount -o remount,nr_inodes=$(($(df --output=iused {disk} | tail -1))) {disk}")
        with pytest.raises(StoreFullError):
            cache.kv.put("ghost", bytes(size))
        with pytest.raises(StoreFullError):
            cache.kv.multiput({"ghost": bytes(size), "another": bytes(size)})
        os.system(f"mount -o remount,nr_inodes=1000 {disk}")
        admin = cache.admin
        count = admin.du()["kind"]["kv"]["count"]
        return sorted(row["name"] for row in admin.ls()), count

    names, count = with_tmpfs(disk, "size=4m,nr_inodes=1000", run)
    assert names == ["default/first", "default/kept"]
    assert count == 2


@pytest.mark.parametrize("put", [put_bytes, put_stream])
@pytest.mark.parametrize("limit", [0, 1, 4096, 299_999])
def test_a_limit_on_the_size_of_files_is_a_typed_error_and_leaves_nothing(
    root: Root, put: Callable[[Cache, bytes], str], limit: int
) -> None:
    """The kernel takes a part of the bytes first: a short write, and only then the error."""

    def run() -> None:
        cache = open_cache(root.path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        put(cache, os.urandom(300_000))

    with pytest.raises(StoreFullError):
        in_child(run)
    assert files(f"{root.path}/objects") == []
    assert files(f"{root.path}/partial") == []


def test_a_limit_on_open_files_is_a_typed_error_and_leaves_nothing(root: Root) -> None:
    def run() -> str:
        cache = open_cache(root.path)
        hold: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with pytest.raises(OSError, match="Too many"):
            open_many(hold)
        try:
            cache.put(SMALL)
        except FscacheError as exc:
            return str(exc)
        finally:
            for fd in hold:
                os.close(fd)
            cache.put(SMALL)
        return "no error"

    assert "Too many open files" in in_child(run)
    assert files(f"{root.path}/partial") == []
