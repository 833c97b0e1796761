"""Promises of fscache.records.entries."""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.fs.atomic import Modes, Writer
from fscache.objects.layout import MAX_SLOTS, Split
from fscache.records.entries import EntryStore
from fscache.records.entryfile import BadEntryError, decode, encode, name_hash, read_small
from tests.support import damage
from tests.support.listing import files, listing
from tests.support.processes import ALICE, in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = b"https://host/path/file.x"
PAYLOAD = b"digest 0123456789abcdef\nsize 7"
GOLDEN = b"fse1 url 41b2d514c9e426bf 24\nhttps://host/path/file.x\n" + PAYLOAD


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., EntryStore]:
    os.mkdir(tmp_path / "partial")
    os.mkdir(tmp_path / "quarantine")

    def build(**options: object) -> EntryStore:
        options = {"quarantine": str(tmp_path / "quarantine"), **options}
        writer = Writer(str(tmp_path / "partial"), Modes())
        return EntryStore(str(tmp_path / "urls"), b"url", writer, **options)

    return build


@pytest.fixture
def store(make: Callable[..., EntryStore]) -> EntryStore:
    return make()


@pytest.fixture
def colliding(make: Callable[..., EntryStore]) -> EntryStore:
    return make(hash_name=one_hash)


def one_hash(_name: bytes) -> str:
    return "0" * 20


@pytest.fixture
def quarantine(tmp_path: Path) -> Callable[[], list[str]]:
    return lambda: files(str(tmp_path / "quarantine"))


@pytest.fixture
def no_temporaries(tmp_path: Path) -> Iterator[None]:
    yield
    assert files(str(tmp_path / "partial")) == []


pytestmark = pytest.mark.usefixtures("no_temporaries")

# -- the format -------------------------------------------------------------------------------


def test_the_bytes_of_an_entry_are_pinned() -> None:
    assert encode(b"url", NAME, PAYLOAD) == GOLDEN
    assert decode(GOLDEN) == (b"url", NAME, PAYLOAD)


def test_where_the_entry_of_a_name_lies_is_pinned(store: EntryStore) -> None:
    assert name_hash(NAME) == "b4d170388c78694d8955"
    assert store.path(NAME) == f"{store.top}/b4/d170388c78694d8955"


@given(st.binary(), st.binary())
def test_any_name_and_payload_come_back(name: bytes, payload: bytes) -> None:
    assert decode(encode(b"key", name, payload)) == (b"key", name, payload)


def test_every_truncation_is_seen() -> None:
    for length in range(len(GOLDEN)):
        with pytest.raises(ValueError):  # noqa: PT011 - BadEntryError, or a number's
            decode(GOLDEN[:length])


def test_everything_appended_is_seen() -> None:
    for tail in (b"\0", b"\n", GOLDEN):
        with pytest.raises(BadEntryError):
            decode(GOLDEN + tail)


def test_every_changed_byte_is_seen_or_says_another_kind() -> None:
    for offset in range(len(GOLDEN)):
        for bit in range(8):
            data = bytearray(GOLDEN)
            data[offset] ^= 1 << bit
            try:
                kind, name, payload = decode(bytes(data))
            except ValueError:
                continue
            assert kind != b"url", offset
            assert (name, payload) == (NAME, PAYLOAD)


@given(st.binary(max_size=100))
def test_garbage_is_a_value_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(data)


@given(st.binary(max_size=60))
def test_garbage_with_a_right_checksum_is_a_value_error_or_an_entry(rest: bytes) -> None:
    from xxhash import xxh3_64_hexdigest

    data = b"fse1 url " + xxh3_64_hexdigest(rest).encode() + rest
    try:
        decode(data)
    except ValueError:
        pass


# -- read, write, delete ----------------------------------------------------------------------


def test_what_is_written_is_read(store: EntryStore) -> None:
    assert store.read(NAME) is None
    assert store.write(NAME, PAYLOAD).new
    assert store.read(NAME) == PAYLOAD
    assert not store.write(NAME, b"another").new
    assert store.read(NAME) == b"another"
    assert store.delete(NAME)
    assert store.read(NAME) is None
    assert not store.delete(NAME)
    assert files(store.top) == []


@pytest.mark.parametrize("size", [0, 4000, 4096, 4097, 8192, 100_000])
@pytest.mark.parametrize("name", [b"", b"n", b"\0\n\xff /..", b"n" * 70_000])
def test_names_and_payloads_of_any_size_and_kind(store: EntryStore, name: bytes, size: int) -> None:
    payload = os.urandom(size)
    store.write(name, payload)
    assert store.read(name) == payload
    assert [(found, body) for found, body, _ in store.scan()] == [(name, payload)]


def test_an_entry_is_a_read_only_file_of_its_own(store: EntryStore) -> None:
    store.write(NAME, PAYLOAD)
    assert files(store.top) == [os.path.relpath(store.path(NAME), store.top)]
    assert stat.S_IMODE(os.stat(store.path(NAME)).st_mode) == 0o444


def test_where_it_lies_is_reported_and_told_from_its_successor(store: EntryStore) -> None:
    place = store.write(NAME, PAYLOAD)
    assert place.path == store.path(NAME)
    assert place.is_current()
    found = store.find(NAME)
    assert found is not None
    payload, path, status = found
    assert (payload, path) == (PAYLOAD, place.path)
    assert (status.st_ino, status.st_size, status.st_mtime_ns) == (
        place.inode,
        place.size,
        place.mtime_ns,
    )
    store.write(NAME, PAYLOAD, mtime_ns=place.mtime_ns + 1)
    assert not place.is_current()
    store.delete(NAME)
    assert not place.is_current()
    assert store.find(NAME) is None


def test_a_name_that_was_seen_is_replaced_where_it_was(store: EntryStore) -> None:
    place = store.write(NAME, b"1")
    again = store.write(NAME, b"2", known=place)
    assert again.path == place.path
    assert store.read(NAME) == b"2"
    store.delete(NAME)
    assert store.write(NAME, b"3", known=again).new
    assert store.read(NAME) == b"3"


def test_a_file_time_can_be_given(store: EntryStore) -> None:
    place = store.write(NAME, PAYLOAD, mtime_ns=1_234_567_890)
    assert place.mtime_ns == os.stat(place.path).st_mtime_ns == 1_234_567_890


def test_a_reader_that_has_it_open_keeps_the_old_bytes(store: EntryStore) -> None:
    store.write(NAME, b"old")
    with open(store.path(NAME), "rb") as file:
        store.write(NAME, b"new")
        assert file.read() == encode(b"url", NAME, b"old")


def test_another_split_only_changes_where_entries_lie(make: Callable[..., EntryStore]) -> None:
    store = make(split=Split(4, 4, 12))
    store.write(NAME, PAYLOAD)
    address = name_hash(NAME)
    assert files(store.top) == [f"{address[:4]}/{address[4:8]}/{address[8:]}"]
    assert store.read(NAME) == PAYLOAD


def test_a_kind_has_three_letters(make: Callable[..., EntryStore], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="three"):
        EntryStore(str(tmp_path), b"long", Writer("", Modes()), quarantine=None)


# -- colliding names --------------------------------------------------------------------------


def test_colliding_names_each_keep_their_own(colliding: EntryStore) -> None:
    names = [b"a", b"b", b"c"]
    for name in names:
        colliding.write(name, b"1 " + name)
    for name in reversed(names):
        colliding.write(name, b"2 " + name)
    assert [colliding.read(name) for name in names] == [b"2 a", b"2 b", b"2 c"]
    assert colliding.read(b"d") is None
    assert files(colliding.top) == ["00/" + "0" * 18 + slot for slot in ("", "-1", "-2")]
    assert sorted(name for name, _, _ in colliding.scan()) == names


@pytest.mark.parametrize("gone", [b"a", b"b", b"c"])
def test_deleting_one_of_them_hides_none(colliding: EntryStore, gone: bytes) -> None:
    names = [b"a", b"b", b"c"]
    for name in names:
        colliding.write(name, name)
    assert colliding.delete(gone)
    assert not colliding.delete(gone)
    assert [colliding.read(name) for name in names] == [
        None if name == gone else name for name in names
    ]
    assert sorted(name for name, _, _ in colliding.scan()) == [n for n in names if n != gone]
    colliding.write(gone, b"again")
    assert colliding.read(gone) == b"again"
    assert len(files(colliding.top)) == 3


def test_a_tombstone_is_used_again_by_its_own_name_only(colliding: EntryStore) -> None:
    for name in (b"a", b"b"):
        colliding.write(name, name)
    colliding.delete(b"a")
    colliding.write(b"c", b"c")
    assert [colliding.read(name) for name in (b"a", b"b", b"c")] == [None, b"b", b"c"]
    colliding.write(b"a", b"back")
    assert [colliding.read(name) for name in (b"a", b"b", b"c")] == [b"back", b"b", b"c"]


@pytest.mark.parametrize("slot", [0, 1])
def test_a_bad_one_among_them_hides_none_and_brings_none_back(
    colliding: EntryStore, quarantine: Callable[[], list[str]], slot: int
) -> None:
    names = [b"a", b"b", b"c"]
    for name in names:
        colliding.write(name, name)
    damage.flip(colliding.path(b"") + ("", "-1")[slot], -1)
    expected = [None if name == names[slot] else name for name in names]
    assert [colliding.read(name) for name in names] == expected
    assert len(quarantine()) == 1
    assert [colliding.read(name) for name in names] == expected
    # The name is written anew in one place, and its deletion uncovers nothing older.
    for name in names:
        colliding.write(name, b"new")
    assert [colliding.read(name) for name in names] == [b"new"] * 3
    for name in names:
        assert colliding.delete(name)
        colliding.write(b"other " + name, b"")
    assert [colliding.read(name) for name in names] == [None] * 3


def test_when_all_slots_are_taken_it_says_so_and_changes_nothing(colliding: EntryStore) -> None:
    for number in range(MAX_SLOTS):
        colliding.write(b"%d" % number, b"")
    with pytest.raises(OSError, match="slot") as caught:
        colliding.write(b"one more", b"")
    assert caught.value.errno == errno.ENOSPC
    assert colliding.read(b"one more") is None
    assert len(files(colliding.top)) == MAX_SLOTS


def test_threads_that_write_colliding_names_at_once_lose_none(colliding: EntryStore) -> None:
    start = threading.Barrier(8)

    def run(name: bytes) -> None:
        start.wait()
        for count in range(20):
            colliding.write(name, b"%d" % count)

    names = [b"%d" % number for number in range(8)]
    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [colliding.read(name) for name in names] == [b"19"] * 8


# -- bad entries ------------------------------------------------------------------------------


def bad() -> Iterator[tuple[str, Callable[[str], None]]]:
    good = encode(b"url", NAME, PAYLOAD)
    yield "empty", lambda path: damage.overwrite(path, b"")
    yield "truncated", lambda path: damage.overwrite(path, good[:-1])
    yield "garbage", lambda path: damage.overwrite(path, os.urandom(500))
    yield "long garbage", lambda path: damage.overwrite(path, b"x" * 100_000)
    yield "flipped", lambda path: damage.flip(path, 40)
    yield "misnamed", lambda path: damage.overwrite(path, encode(b"url", b"other", PAYLOAD))
    yield "of another kind", lambda path: damage.overwrite(path, encode(b"key", NAME, PAYLOAD))
    yield "a directory", lambda path: (os.unlink(path), os.mkdir(path))
    yield "a link", lambda path: (os.unlink(path), os.symlink("/etc/passwd", path))
    yield "a pipe", lambda path: (os.unlink(path), os.mkfifo(path))


KINDS = [name for name, _ in bad()]


@pytest.fixture(params=KINDS)
def spoil(request: pytest.FixtureRequest) -> Callable[[str], None]:
    return dict(bad())[request.param]


def test_a_bad_entry_is_a_miss_with_its_reason_and_goes_to_quarantine(
    store: EntryStore,
    quarantine: Callable[[], list[str]],
    spoil: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    store.write(NAME, PAYLOAD)
    spoil(store.path(NAME))
    with caplog.at_level(logging.WARNING, "fscache"):
        assert store.read(NAME) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert store.path(NAME) in caplog.text
    assert not os.path.lexists(store.path(NAME))
    assert len(os.listdir(tmp_path / "quarantine")) == 1
    assert store.read(NAME) is None
    store.write(NAME, b"new")
    assert store.read(NAME) == b"new"


def test_a_bad_entry_is_written_over_at_once(
    store: EntryStore, spoil: Callable[[str], None]
) -> None:
    store.write(NAME, PAYLOAD)
    spoil(store.path(NAME))
    store.write(NAME, b"new")
    assert store.read(NAME) == b"new"


def test_a_bad_entry_spoils_no_listing(store: EntryStore, spoil: Callable[[str], None]) -> None:
    for name in (NAME, b"1", b"2"):
        store.write(name, PAYLOAD)
    spoil(store.path(NAME))
    assert sorted(name for name, _, _ in store.scan()) == [b"1", b"2"]


def test_a_bad_entry_cannot_be_deleted_and_is_none(
    store: EntryStore, spoil: Callable[[str], None]
) -> None:
    store.write(NAME, PAYLOAD)
    spoil(store.path(NAME))
    assert not store.delete(NAME)


def test_a_quarantine_that_is_not_there_is_made(
    store: EntryStore, spoil: Callable[[str], None], tmp_path: Path
) -> None:
    store.write(NAME, PAYLOAD)
    spoil(store.path(NAME))
    os.rmdir(tmp_path / "quarantine")
    assert store.read(NAME) is None
    assert len(os.listdir(tmp_path / "quarantine")) == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "a directory"])
def test_a_bad_entry_that_cannot_be_moved_is_a_miss_and_is_written_over(
    store: EntryStore, tmp_path: Path, kind: str
) -> None:
    os.rmdir(tmp_path / "quarantine")
    (tmp_path / "quarantine").write_bytes(b"in the way")
    store.write(NAME, PAYLOAD)
    dict(bad())[kind](store.path(NAME))
    assert store.read(NAME) is None
    store.write(NAME, b"new")
    assert store.read(NAME) == b"new"


def test_a_directory_that_cannot_be_moved_is_an_error_and_no_endless_loop(
    store: EntryStore, tmp_path: Path
) -> None:
    os.rmdir(tmp_path / "quarantine")
    (tmp_path / "quarantine").write_bytes(b"in the way")
    os.makedirs(store.path(NAME))
    assert store.read(NAME) is None
    with pytest.raises(OSError, match=r"."):
        store.write(NAME, b"new")


def test_colliding_names_behind_one_that_cannot_be_moved_are_found(
    colliding: EntryStore, tmp_path: Path
) -> None:
    for name in (b"a", b"b"):
        colliding.write(name, name)
    damage.flip(colliding.path(b"a"), -1)
    os.rmdir(tmp_path / "quarantine")
    (tmp_path / "quarantine").write_bytes(b"in the way")
    assert colliding.read(b"a") is None
    assert colliding.read(b"b") == b"b"


def test_a_store_without_quarantine_changes_nothing(
    make: Callable[..., EntryStore], spoil: Callable[[str], None], tmp_path: Path
) -> None:
    store = make()
    for name in (NAME, b"good"):
        store.write(name, PAYLOAD)
    spoil(store.path(NAME))
    tier = make(quarantine=None)
    before = listing(str(tmp_path))
    assert tier.read(NAME) is None
    assert tier.read(b"good") == PAYLOAD
    assert [name for name, _, _ in tier.scan()] == [b"good"]
    assert listing(str(tmp_path)) == before


def test_files_that_are_no_entries_are_no_entries(
    store: EntryStore, quarantine: Callable[[], list[str]]
) -> None:
    store.write(NAME, PAYLOAD)
    for name in ("README", "b4/short", "b4/.nfs0001-x"):
        os.makedirs(os.path.dirname(f"{store.top}/{name}"), exist_ok=True)
        with open(f"{store.top}/{name}", "wb") as file:
            file.write(GOLDEN)
    assert [name for name, _, _ in store.scan()] == [NAME]


def test_a_file_in_the_place_of_a_directory_is_a_miss(store: EntryStore) -> None:
    os.mkdir(store.top)
    with open(os.path.dirname(store.path(NAME)), "wb"):
        pass
    assert store.read(NAME) is None
    with pytest.raises(NotADirectoryError):
        store.write(NAME, PAYLOAD)


@pytest.mark.usefixtures("users")
def test_a_reader_who_may_not_write_sees_a_miss_and_leaves_all_as_it_is(open_tmp: str) -> None:
    for name in ("partial", "quarantine"):
        os.mkdir(f"{open_tmp}/{name}")
    writer = Writer(f"{open_tmp}/partial", Modes())
    store = EntryStore(f"{open_tmp}/urls", b"url", writer, quarantine=f"{open_tmp}/quarantine")
    for name in (NAME, b"good"):
        store.write(name, PAYLOAD)
    damage.overwrite(store.path(NAME), b"garbage")
    before = files(open_tmp)
    assert in_child(lambda: (store.read(NAME), store.read(b"good")), uid=ALICE) == (None, PAYLOAD)
    assert files(open_tmp) == before


@pytest.mark.usefixtures("users")
def test_an_entry_that_may_not_be_read_is_an_error_and_not_a_miss(open_tmp: str) -> None:
    store = EntryStore(
        f"{open_tmp}/urls", b"url", Writer(f"{open_tmp}/partial", Modes()), quarantine=None
    )
    store.write(NAME, PAYLOAD)
    os.chmod(store.path(NAME), 0o400)
    with pytest.raises(PermissionError):
        in_child(store.read, NAME, uid=ALICE)


def test_a_good_entry_that_replaced_a_bad_one_meanwhile_is_not_moved(
    store: EntryStore, quarantine: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(NAME, PAYLOAD)
    damage.overwrite(store.path(NAME), b"garbage")
    real = os.open
    opened: list[str] = []

    def slow(path: str, flags: int, mode: int = 0o777) -> int:
        fd = real(path, flags, mode)
        opened.append(path)
        if len(opened) == 2:  # between the second, careful look at the bad one and the move
            monkeypatch.undo()
            store.write(NAME, b"good")
        return fd

    monkeypatch.setattr(os, "open", slow)
    assert store.read(NAME) == b"good"
    assert len(quarantine()) == 1  # the bad one


# -- small reads ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8191, 8192, 1_000_000])
def test_small_files_are_read_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    assert read_small(str(tmp_path / "file")) == data


def test_a_stale_handle_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    real = os.open
    tries: list[str] = []

    def stale(path: str, flags: int, mode: int = 0o777) -> int:
        tries.append(path)
        if len(tries) <= misses:
            raise OSError(errno.ESTALE, "stale")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", stale)
    misses = 2
    assert read_small(str(tmp_path / "file")) == b"bytes"
    tries.clear()
    misses = 100
    with pytest.raises(FileNotFoundError):
        read_small(str(tmp_path / "file"))
    assert len(tries) == 3
