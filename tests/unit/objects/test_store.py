"""Promises of fscache.objects.store."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from typing import TYPE_CHECKING

import pytest

from fscache.errors import RootPermissionError
from fscache.fs.atomic import Modes, Writer
from fscache.objects.digest import digest_of
from fscache.objects.layout import MAX_SLOTS, Split
from fscache.objects.store import ObjectStore
from fscache.records.root import Root, translated
from tests.support import damage
from tests.support.listing import files
from tests.support.processes import ALICE, BOB, LAB, in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fscache.objects.store import Stored
    from tests.conftest import Clock

SIZES = [0, 1, 4095, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 700_000]


class Colliding:
    """A digest that is the same for all bytes that begin with the same letter."""

    def __init__(self) -> None:
        self._first = b""

    def update(self, data: bytes | memoryview) -> None:
        self._first = self._first or bytes(data[:1])

    def hexdigest(self) -> str:
        return self._first.hex().ljust(32, "0")


@pytest.fixture
def partial(tmp_path: Path) -> str:
    os.mkdir(tmp_path / "partial")
    return str(tmp_path / "partial")


@pytest.fixture
def make(tmp_path: Path, partial: str, clock: Clock) -> Callable[..., ObjectStore]:
    def build(**options: object) -> ObjectStore:
        options = {"now": clock, "guard": contextlib.nullcontext, **options}
        writer = options.pop("writer", Writer(partial, Modes()))
        return ObjectStore(str(tmp_path / "objects"), writer, **options)

    return build


@pytest.fixture
def store(make: Callable[..., ObjectStore]) -> ObjectStore:
    return make()


@pytest.fixture
def colliding(make: Callable[..., ObjectStore]) -> ObjectStore:
    return make(new_hasher=Colliding)


def put_stream(store: ObjectStore, data: bytes) -> Stored:
    return store.put_stream(io.BytesIO(data).readinto)


def put_bytes(store: ObjectStore, data: bytes) -> Stored:
    return store.put_bytes(data)


def adopt(store: ObjectStore, data: bytes) -> Stored:
    fd, temp = store._writer.create_temp()
    os.write(fd, data)
    hasher = store.new_hasher()
    hasher.update(data)
    try:
        return store.adopt(fd, temp, hasher.hexdigest())
    finally:
        os.close(fd)


@pytest.fixture(params=[put_bytes, put_stream, adopt])
def put(request: pytest.FixtureRequest) -> Callable[[ObjectStore, bytes], Stored]:
    return request.param


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# -- one object -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_there_whole_read_only_and_under_its_digest(
    store: ObjectStore, partial: str, put: Callable[..., Stored], size: int
) -> None:
    data = os.urandom(size)
    stored = put(store, data)
    assert read(stored.path) == data
    assert stored.digest == digest_of(data)
    assert stored.address == digest_of(data)[:20]
    assert stored.path == store.locate(stored.address)
    assert stored.size == size
    assert stored.new
    assert stored.slot == 0
    assert stat.S_IMODE(os.stat(stored.path).st_mode) == 0o444
    assert os.stat(stored.path).st_nlink == 1
    assert files(partial) == []


def test_the_identity_it_reports_is_that_of_the_file(
    store: ObjectStore, put: Callable[..., Stored]
) -> None:
    stored = put(store, b"bytes")
    status = os.stat(stored.path)
    assert (stored.status.st_ino, stored.status.st_size, stored.status.st_mtime_ns) == (
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
    )


def test_an_object_is_found_by_its_digest_without_being_read(store: ObjectStore) -> None:
    stored = store.put_bytes(b"bytes")
    found = store.find(stored.digest)
    assert found is not None
    assert (found.path, found.slot, found.size, found.new) == (stored.path, 0, 5, False)
    assert store.find(digest_of(b"others")) is None
    assert store.find(stored.digest, 1) is None


@pytest.mark.parametrize("split", [Split(2, 18), Split(20), Split(1, 1, 1, 17)])
def test_another_split_only_changes_where_objects_lie(
    make: Callable[..., ObjectStore], put: Callable[..., Stored], split: Split
) -> None:
    store = make(split=split)
    stored = put(store, b"bytes")
    assert stored.path == f"{store.top}/{split.relative(stored.address)}"
    assert read(stored.path) == b"bytes"
    assert not put(store, b"bytes").new


# -- the same bytes again ---------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_the_same_bytes_are_kept_once(
    store: ObjectStore, partial: str, put: Callable[..., Stored], size: int
) -> None:
    data = os.urandom(size)
    first = store.put_bytes(data)
    again = put(store, data)
    assert not again.new
    assert (again.path, again.status.st_ino) == (first.path, first.status.st_ino)
    assert len(files(store.top)) == 1
    assert files(partial) == []


def test_putting_the_same_bytes_again_freshens_the_access_time_and_nothing_else(
    store: ObjectStore, put: Callable[..., Stored], clock: Clock
) -> None:
    first = store.put_bytes(b"bytes")
    clock.advance(86_400)
    again = put(store, b"bytes")
    status = os.stat(first.path)
    assert status.st_atime == clock.now
    assert status.st_mtime_ns == first.status.st_mtime_ns
    assert again.status.st_mtime_ns == first.status.st_mtime_ns


def test_a_purge_between_looking_and_naming_only_costs_a_second_write(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.put_bytes(b"bytes")
    look = os.lstat
    looks = []

    def vanishes(path: str) -> os.stat_result:
        looks.append(path)
        if len(looks) == 2:  # after "something is there", before "what is it?"
            os.unlink(path)
        return look(path)

    monkeypatch.setattr(os, "lstat", vanishes)
    again = store.put_bytes(b"bytes")
    monkeypatch.undo()
    assert looks[:2] == [stored.path, stored.path]
    assert read(again.path) == b"bytes"


# -- other bytes of the same address ----------------------------------------------------------


@pytest.mark.parametrize("size", [2, 4096, 256 * 1024, 300_000])
def test_colliding_bytes_take_the_next_slot_and_each_keeps_its_own(
    colliding: ObjectStore, partial: str, put: Callable[..., Stored], size: int
) -> None:
    # All alike up to the last byte, where they have the same length.
    contents = [b"x" * (size - 1) + end for end in (b"1", b"2", b"3")] + [b"x", b"x" * (size + 1)]
    stored = [put(colliding, data) for data in contents]
    assert [each.slot for each in stored] == [0, 1, 2, 3, 4]
    assert [read(each.path) for each in stored] == contents
    assert [each.address[20:] for each in stored] == ["", "-1", "-2", "-3", "-4"]
    again = [put(colliding, data) for data in contents]
    assert [(each.slot, each.new) for each in again] == [(slot, False) for slot in range(5)]
    assert colliding.slots("78" + "0" * 18) == [each.path for each in stored]
    assert files(partial) == []


def test_an_object_whose_bytes_were_changed_is_not_taken_for_what_is_put(
    store: ObjectStore, put: Callable[..., Stored]
) -> None:
    data = b"b" * 300_000
    first = store.put_bytes(data)
    damage.flip(first.path, 299_999)
    again = put(store, data)
    assert read(again.path) == data
    assert again.slot == 1
    assert put(store, data).slot == 1


@pytest.mark.parametrize("length", [0, 1, 299_999])
def test_an_object_that_was_truncated_is_not_taken_for_what_is_put(
    store: ObjectStore, put: Callable[..., Stored], length: int
) -> None:
    data = os.urandom(300_000)
    first = store.put_bytes(data)
    os.truncate(first.path, length)
    assert read(put(store, data).path) == data


@pytest.mark.parametrize("kind", ["directory", "dangling link", "pipe"])
def test_what_lies_at_an_objects_place_and_is_no_file_is_passed_over(
    store: ObjectStore, put: Callable[..., Stored], kind: str
) -> None:
    path = store.locate(digest_of(b"bytes")[:20])
    os.makedirs(os.path.dirname(path))
    if kind == "directory":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.symlink("nowhere", path)
    stored = put(store, b"bytes")
    assert stored.slot == 1
    assert read(stored.path) == b"bytes"


def test_a_pipe_at_the_place_of_no_bytes_is_not_waited_for(
    store: ObjectStore, put: Callable[..., Stored]
) -> None:
    path = store.locate(digest_of(b"")[:20])
    os.makedirs(os.path.dirname(path))
    os.mkfifo(path)
    assert put(store, b"").slot == 1


def test_a_link_to_the_same_bytes_is_not_an_object(
    store: ObjectStore, tmp_path: Path, put: Callable[..., Stored]
) -> None:
    path = store.locate(digest_of(b"bytes")[:20])
    os.makedirs(os.path.dirname(path))
    (tmp_path / "elsewhere").write_bytes(b"bytes")
    os.symlink(tmp_path / "elsewhere", path)
    stored = put(store, b"bytes")
    (tmp_path / "elsewhere").write_bytes(b"other bytes, later")
    assert read(stored.path) == b"bytes"


def test_when_all_slots_are_taken_it_says_so_and_leaves_nothing(
    colliding: ObjectStore, partial: str, put: Callable[..., Stored]
) -> None:
    for number in range(MAX_SLOTS):
        put(colliding, b"x%d" % number)
    with pytest.raises(OSError, match="slot") as caught:
        put(colliding, b"x and more")
    assert caught.value.errno == errno.ENOSPC
    if put is not adopt:  # there the caller decides what becomes of it
        assert files(partial) == []
    assert len(files(colliding.top)) == MAX_SLOTS


def test_a_free_slot_before_others_hides_none_of_them(colliding: ObjectStore) -> None:
    first, second = colliding.put_bytes(b"x1"), colliding.put_bytes(b"x2")
    os.unlink(first.path)
    assert colliding.slots(second.address[:20]) == [second.path]
    assert read(colliding.put_bytes(b"x2").path) == b"x2"


# -- failures ---------------------------------------------------------------------------------


def test_a_source_that_fails_leaves_nothing(store: ObjectStore, partial: str) -> None:
    def breaks(view: memoryview) -> int:
        if files(partial) and os.path.getsize(f"{partial}/{files(partial)[0]}"):
            raise ConnectionResetError
        view[:5] = b"bytes"
        return 5

    with pytest.raises(ConnectionResetError):
        store.put_stream(breaks)
    assert files(partial) == []
    assert files(store.top) == []


@pytest.mark.parametrize("call", ["write", "fchmod", "link", "mkdir"])
@pytest.mark.parametrize("put", [put_bytes, put_stream])
def test_whatever_call_fails_nothing_is_left(
    store: ObjectStore,
    partial: str,
    put: Callable[..., Stored],
    call: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="full"):
        put(store, b"bytes")
    monkeypatch.undo()
    assert files(store.top) == []
    assert files(partial) == []
    assert put(store, b"bytes").new


def test_an_interrupt_leaves_nothing(
    store: ObjectStore, partial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", interrupt)
    for put in (put_bytes, put_stream):
        with pytest.raises(KeyboardInterrupt):
            put(store, b"bytes")
    assert files(partial) == []


# -- quarantine -------------------------------------------------------------------------------


def test_quarantine_takes_an_object_out_of_the_way_and_keeps_its_bytes(
    store: ObjectStore, tmp_path: Path
) -> None:
    stored = store.put_bytes(b"bytes")
    where = store.quarantine(stored.path, str(tmp_path / "quarantine"))
    assert not os.path.exists(stored.path)
    assert read(where) == b"bytes"
    assert os.path.basename(where).startswith(stored.address)
    assert store.put_bytes(b"bytes").new


def test_quarantine_loses_none_of_several_of_one_address(
    store: ObjectStore, tmp_path: Path
) -> None:
    quarantine = tmp_path / "quarantine"
    for _ in range(3):
        store.quarantine(store.put_bytes(b"bytes").path, str(quarantine))
    assert len(files(str(quarantine))) == 3


def test_what_another_has_put_into_quarantine_already_is_no_error(
    store: ObjectStore, tmp_path: Path
) -> None:
    os.mkdir(tmp_path / "quarantine")
    store.quarantine(store.locate("0" * 20), str(tmp_path / "quarantine"))
    assert files(str(tmp_path / "quarantine")) == []


# -- users ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("users")
def test_users_of_a_group_put_into_one_store_whatever_their_umasks(open_tmp: str) -> None:
    os.chown(open_tmp, 0, LAB)
    os.chmod(open_tmp, 0o2770)
    modes = Modes(LAB, world_readable=False)

    def put(data: bytes) -> str:
        root = Root(f"{open_tmp}/cache", now=lambda: 0.0, modes=modes)
        root.ensure()
        return root.objects().put_bytes(data).path

    for uid, umask in ((ALICE, 0o077), (BOB, 0o022), (ALICE, 0o000)):
        for data in (b"the same", str((uid, umask)).encode()):
            path = in_child(put, data, uid=uid, groups=[LAB], umask=umask)
            assert read(path) == data
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o440
            assert os.stat(path).st_gid == LAB
    assert len(files(f"{open_tmp}/cache/objects")) == 4


@pytest.mark.usefixtures("users")
def test_a_root_of_somebody_else_is_read_and_not_written(open_tmp: str) -> None:
    def use(data: bytes) -> tuple[str, bool]:
        root = Root(f"{open_tmp}/cache", now=lambda: 0.0)
        with translated(root.path):
            root.ensure()
            stored = root.objects().put_bytes(data)
        return stored.path, stored.new

    os.mkdir(f"{open_tmp}/cache")
    os.chown(f"{open_tmp}/cache", ALICE, ALICE)
    _path, _new = in_child(use, b"bytes", uid=ALICE, umask=0o022)

    def look() -> bytes:
        found = Root(f"{open_tmp}/cache", now=lambda: 0.0).objects().find(digest_of(b"bytes"))
        assert found is not None
        return read(found.path)

    assert in_child(look, uid=BOB) == b"bytes"
    before = files(open_tmp)
    with pytest.raises(RootPermissionError) as caught:
        in_child(use, b"other", uid=BOB)
    assert caught.value.path == f"{open_tmp}/cache"
    assert files(open_tmp) == before


def test_who_puts_durably_what_another_wrote_without_syncs_it(
    make: Callable[..., ObjectStore], partial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = make().put_bytes(b"can be fetched again")
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    durable = make(writer=Writer(partial, Modes(), durable=True))
    assert not durable.put_bytes(b"can be fetched again").new
    assert synced == [stored.path, os.path.dirname(stored.path)]
