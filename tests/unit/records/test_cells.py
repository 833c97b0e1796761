"""Promises of records.cells and records.inplace: a change is whole or not there, whatever ends it."""

from __future__ import annotations

import errno
import os
import stat
import threading
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.fs.atomic import Modes, Writer
from fscache.records import cells, entryfile
from fscache.records.entries import EntryStore
from fscache.records.entryfile import FIRST_READ, BadEntryError
from tests.support import damage
from tests.support.processes import ALICE, LAB, in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = b"my/k1"
GOLDEN = b"fse2 key 091ccb457617f486 5 512 9 1\nmy/k1\nthe value"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., EntryStore]:
    for name in ("partial", "quarantine"):
        os.mkdir(tmp_path / name)

    def build(*, durable: bool = False) -> EntryStore:
        writer = Writer(str(tmp_path / "partial"), Modes(), durable=durable)
        return EntryStore(
            str(tmp_path / "kv"), b"key", writer, quarantine=str(tmp_path / "quarantine")
        )

    return build


@pytest.fixture
def store(make: Callable[..., EntryStore]) -> EntryStore:
    return make()


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_a_new_entry_is_as_the_specification_says(store: EntryStore) -> None:
    place = store.write(NAME, b"the value")
    assert content(place.path) == GOLDEN
    assert cells.decode(GOLDEN) == (b"key", NAME, b"the value")


@given(
    name=st.binary(max_size=40),
    payloads=st.lists(st.binary(max_size=700), min_size=1, max_size=6),
)
def test_what_was_written_last_is_read(
    tmp_path_factory: pytest.TempPathFactory, name: bytes, payloads: list[bytes]
) -> None:
    top = str(tmp_path_factory.mktemp("cells"))
    store = EntryStore(f"{top}/kv", b"key", Writer(f"{top}/partial", Modes()), quarantine=None)
    for payload in payloads:
        place = store.write(name, payload, in_place=True)
        assert store.read(name) == payload
        found = store.find(name)
        assert found is not None
        assert found[0] == payload
        assert (found[2].st_ino, found[2].st_size) == (place.inode, place.size)
        assert [entry[:2] for entry in store.scan()] == [(name, payload)]
        assert cells.decode(content(place.path)) == (b"key", name, payload)


def test_a_change_stays_in_its_file_and_takes_the_two_cells_in_turn(store: EntryStore) -> None:
    first = store.write(NAME, b"1")
    sizes = []
    for number in range(2, 6):
        place = store.write(NAME, b"%d" % number, in_place=True, known=first)
        assert place.inode == first.inode
        sizes.append(os.stat(place.path).st_size)
    assert sizes == [sizes[0]] * 4
    data = content(first.path)
    assert data[512:].split(b"\n")[0].endswith(b" 512 1 4")
    assert data.split(b"\n")[0].endswith(b" 512 1 5")


@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_change_that_ends_half_way_leaves_the_old_value(store: EntryStore, before: int) -> None:
    for number in range(before):
        place = store.write(NAME, b"old %d" % number, in_place=True)
    old = content(place.path)
    store.write(NAME, b"the new value", in_place=True)
    new = content(place.path)
    at = 0 if new[:512] != old[:512] else 512
    cell = new[at : at + len(cells.encode(b"key", NAME, b"the new value", 512, before + 1))]
    for length in range(len(cell)):
        half = bytearray(old.ljust(at + length, b"\0"))
        half[at : at + length] = cell[:length]
        if bytes(half[at : at + len(cell)]) == cell:
            continue  # what is left out happens to be there
        damage.overwrite(place.path, bytes(half))
        assert store.read(NAME) == b"old %d" % (before - 1)
        assert store.load(place.path) == (NAME, b"old %d" % (before - 1))
    # And whoever comes next can go on.
    store.write(NAME, b"next", in_place=True)
    assert store.read(NAME) == b"next"


def test_an_entry_within_a_value_is_never_believed(store: EntryStore) -> None:
    head = len(cells.encode(b"key", NAME, b"", 1024))
    payload = b"x" * (512 - head) + cells.encode(b"key", NAME, b"from within", 512, 9)
    place = store.write(NAME, payload)
    assert store.read(NAME) == payload
    damage.flip(place.path, head)
    assert store.read(NAME) is None


def test_what_has_no_room_gets_a_new_file(store: EntryStore) -> None:
    first = store.write(NAME, b"short")
    second = store.write(NAME, b"long" * 500, in_place=True)
    assert second.inode != first.inode
    third = store.write(NAME, b"much" * 500, in_place=True)
    assert third.inode == second.inode
    large = store.write(NAME, bytes(FIRST_READ), in_place=True)
    assert store.write(NAME, bytes(FIRST_READ), in_place=True).inode != large.inode
    assert store.read(NAME) == bytes(FIRST_READ)


def test_without_the_lock_or_a_group_that_knows_the_disk_the_file_is_replaced(
    make: Callable[..., EntryStore],
) -> None:
    plain, durable = make(), make(durable=True)
    inodes = [plain.write(NAME, b"1").inode, plain.write(NAME, b"2").inode]
    inodes.append(durable.write(NAME, b"3", in_place=True).inode)
    assert len(set(inodes[:2])) == 2
    assert inodes[2] != inodes[1]
    assert plain.read(NAME) == b"3"


def test_the_older_form_is_read_and_replaced(store: EntryStore) -> None:
    place = store.write(NAME, b"now")
    os.unlink(place.path)
    with open(place.path, "wb") as file:
        file.write(entryfile.encode(b"key", NAME, b"of old"))
    assert store.read(NAME) == b"of old"
    found = store.find(NAME)
    assert found is not None
    assert found[0] == b"of old"
    assert [entry[:2] for entry in store.scan()] == [(NAME, b"of old")]
    store.write(NAME, b"new", in_place=True)
    assert store.read(NAME) == b"new"
    assert content(place.path).startswith(cells.MAGIC)


def test_an_entry_that_is_removed_meanwhile_is_written_anew(
    store: EntryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = store.write(NAME, b"1")
    real = os.pwrite

    def late(fd: int, data: bytes, at: int) -> int:
        os.unlink(place.path)
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", late)
    assert store.write(NAME, b"2", in_place=True).new
    assert store.read(NAME) == b"2"


def test_a_full_disk_leaves_the_old_value(
    store: EntryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(NAME, b"old")
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:10], at))
    with pytest.raises(OSError, match="No space") as raised:
        store.write(NAME, b"new", in_place=True)
    assert raised.value.errno == errno.ENOSPC
    assert store.read(NAME) == b"old"


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("gid", [None, LAB])
def test_who_may_not_write_to_the_file_or_set_its_time_replaces_it(
    open_tmp: str, gid: int | None
) -> None:
    os.mkdir(f"{open_tmp}/partial")
    writer = Writer(f"{open_tmp}/partial", Modes(gid))
    store = EntryStore(f"{open_tmp}/kv", b"key", writer, quarantine=None)
    first = store.write(NAME, b"1")
    if gid is not None:
        os.chown(first.path, -1, gid)
    assert stat.S_IMODE(os.stat(first.path).st_mode) == (0o644 if gid is None else 0o664)
    for directory in (f"{open_tmp}/partial", os.path.dirname(first.path)):
        os.chmod(directory, 0o777)

    def change() -> tuple[int, int]:
        place = store.write(NAME, b"2", known=first, mtime_ns=12345, in_place=True)
        return place.inode, place.mtime_ns

    inode, mtime_ns = in_child(change, uid=ALICE, groups=[LAB])
    assert (inode != first.inode, mtime_ns) == (True, 12345)
    assert store.read(NAME) == b"2"


def test_a_file_with_no_whole_cell_is_set_aside(store: EntryStore, tmp_path: Path) -> None:
    store.write(NAME, b"1")
    place = store.write(NAME, b"2", in_place=True)
    damage.flip(place.path, 40)
    damage.flip(place.path, -1)
    assert store.read(NAME) is None
    assert len(os.listdir(tmp_path / "quarantine")) == 1
    with pytest.raises(BadEntryError):
        cells.decode(b"fse2 key 0123456789abcdef 5 512 x 1\nmy/k1\n")


def test_what_became_whole_before_it_was_set_aside_is_read(
    store: EntryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(NAME, b"1")
    whole = cells.read
    halves = [b"fse2 key 0123456789abcdef 5 512 x 1\nmy/k1\n"]
    monkeypatch.setattr(cells, "payload_of", lambda *_: None)
    monkeypatch.setattr(cells, "read", lambda *args: halves.pop() if halves else whole(*args))
    assert store.read(NAME) == b"1"
    assert not halves
    assert os.listdir(tmp_path / "quarantine") == []


def test_readers_never_see_less_than_a_whole_value(store: EntryStore, tmp_path: Path) -> None:
    store.write(NAME, b"%08d" % 0 * 500)
    end = threading.Event()

    def change() -> None:
        for number in count(1):
            if end.is_set():
                return
            store.write(NAME, b"%08d" % number * 500, in_place=True)

    def look() -> list[bytes | None]:
        seen: list[bytes | None] = []
        while len(seen) < 3000 or len(set(seen)) < 3:
            seen.append(store.read(NAME))
        return seen

    writer = threading.Thread(target=change)
    writer.start()
    try:
        seen = in_child(look)
    finally:
        end.set()
        writer.join()
    assert all(value is not None and value == value[:8] * 500 for value in seen)
    # In the order of writing: what was seen once does not give way to the one before.
    assert seen == sorted(seen)
    assert os.listdir(tmp_path / "quarantine") == []
