"""Promises of fscache.kv.local that are about the disk; what every store promises is in contract."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fscache.cache import Cache
from fscache.config import load as load_config
from fscache.errors import FormatError, RootPermissionError, StoreError, StoreFullError
from fscache.fs.group import Group
from fscache.fs.walk import files
from fscache.kv.local import LocalStore
from fscache.kv.shelf import LARGE
from fscache.objects.digest import digest_of
from fscache.records.root import Root
from tests.support import damage
from tests.support.processes import ALICE, in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clock


@pytest.fixture
def kv(root: Root) -> LocalStore:
    return LocalStore(root)


def fresh(root: Root) -> LocalStore:
    """Open the store as another process does: nothing is in memory."""
    return LocalStore(Root(root.path, now=root.now))


def paths(root: Root, top: str) -> list[str]:
    return sorted(item.path for item in files(f"{root.path}/{top}"))


# -- what lies where --------------------------------------------------------------------------


def test_an_entry_is_a_file_as_the_specification_says(kv: LocalStore, root: Root) -> None:
    kv.put("run_42/loss", "bar")
    (path,) = paths(root, "kv")
    assert path == f"{root.path}/kv/default/e8/57bbaf3f525d562c07"
    with open(path, "rb") as file:
        data = file.read()
    assert data[:9] == b"fse2 key "
    assert data[25:] == b" 11 512 5 1\nrun_42/loss\n@sbar"
    assert os.stat(path).st_mode & 0o777 == 0o644
    assert paths(root, "objects") == []
    assert os.listdir(f"{root.path}/partial") == []


def test_a_change_stays_in_its_file_and_is_seen_at_once(kv: LocalStore, root: Root) -> None:
    kv.put("key", "value 1")
    (path,) = paths(root, "kv")
    inode = os.stat(path).st_ino
    other = fresh(root)
    for number in range(2, 5):
        kv.put("key", f"value {number}")
        assert os.stat(path).st_ino == inode
        assert [other.get("key") for _ in range(3)] == [f"value {number}"] * 3


def test_without_locks_the_file_is_replaced(
    kv: LocalStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, command: int, argument: object = 0) -> object:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    inodes = set()
    for number in range(3):
        kv.put("key", number)
        (path,) = paths(root, "kv")
        inodes.add((os.stat(path).st_ino, os.stat(path).st_mtime_ns))
        assert os.stat(path).st_size < 512
    assert len(inodes) == 3
    assert kv.get("key") == 2


@pytest.mark.parametrize("size", [LARGE, LARGE + 1])
def test_a_large_body_is_an_object_of_just_its_bytes(kv: LocalStore, root: Root, size: int) -> None:
    value = bytes(size)
    kv.put("key", value)
    found = paths(root, "objects")
    assert len(found) == (size > LARGE)
    for path in found:
        with open(path, "rb") as file:
            assert file.read() == value


def test_a_large_array_is_a_npy_file_and_comes_back_mapped(kv: LocalStore, root: Root) -> None:
    kv.put("key", np.arange(100_000))
    (path,) = paths(root, "objects")
    assert (np.load(path, allow_pickle=False) == np.arange(100_000)).all()
    found = kv.get("key")
    assert isinstance(found, np.memmap)
    kv.delete("key")
    os.unlink(path)
    assert int(found.sum()) == 4_999_950_000


def test_nothing_is_written_before_something_is_put(root_path: str, clock: Clock) -> None:
    kv = Cache(root_path, now=clock).kv
    assert kv.get("key", None) is None
    assert not kv.delete("key")
    assert kv.keys() == []
    assert not os.path.exists(root_path)
    kv.put("key", 1)
    assert os.path.exists(f"{root_path}/FORMAT")


def test_every_change_is_in_the_journal_with_the_object_it_names(
    kv: LocalStore, root: Root
) -> None:
    kv.put("small", "x")
    kv.put("large", bytes(100_000))
    kv.delete("small")
    (segment,) = [path for path in paths(root, "journal") if path.endswith(".00000001")]
    with open(segment) as file:
        records = [line.split()[1:] for line in file.read().split("\n")[1:]]
    address = digest_of(bytes(100_000))[:20]
    assert [(op, kind, at, size, name) for op, kind, _, at, size, _, name in records] == [
        ("put", "kv", "-", "1", "default/small"),
        ("put", "kv", address, "100000", "default/large"),
        ("delete", "kv", "-", "0", "default/small"),
    ]


def test_stores_are_remembered_and_share_nothing(kv: LocalStore) -> None:
    assert kv.store("a") is kv.store("a")
    assert kv.store("a").store("default") is kv
    assert kv.store("a", serializer=pickle) is not kv.store("a")


# -- seen by others ---------------------------------------------------------------------------


def test_another_process_put_is_seen_by_one_that_has_the_old_value_in_memory(
    kv: LocalStore, root: Root
) -> None:
    for number in range(20):
        in_child(lambda value=number: fresh(root).put("key", value))
        assert kv.get("key") == number


def test_a_forked_child_may_use_its_parents_store(kv: LocalStore) -> None:
    kv.put("key", "parent")
    assert in_child(lambda: (kv.get("key"), kv.put("key", "child"), kv.incr("n"))) == (
        "parent",
        None,
        1,
    )
    assert kv.get("key") == "child"
    assert kv.incr("n") == 2


def test_a_copied_root_is_as_good_as_the_first(kv: LocalStore, root: Root) -> None:
    kv.multiput({"a": 1, "array": np.arange(100_000), "large": bytes(100_000)})
    shutil.copytree(root.path, root.path + "2")
    copy = LocalStore(Root(root.path + "2", now=root.now))
    assert copy.keys() == ["a", "array", "large"]
    assert (copy.get("array") == np.arange(100_000)).all()
    assert copy.get("large") == bytes(100_000)


@pytest.mark.usefixtures("users")
def test_a_reader_who_may_not_write_reads_and_lists(open_tmp: str) -> None:
    os.chmod(open_tmp, 0o755)
    root = Root(f"{open_tmp}/root", now=time.time)
    LocalStore(root).multiput({"a": 1, "b": bytes(100_000)})
    LocalStore(root).put("c", 3, ttl=1000)
    shutil.rmtree(f"{root.path}/journal")

    def look() -> object:
        theirs = LocalStore(Root(root.path, now=time.time))
        return theirs.keys(), theirs.get("a"), len(theirs.get("b")), theirs.ttl("c") is not None

    assert in_child(look, uid=ALICE) == (["a", "b", "c"], 1, 100_000, True)

    def write(call: Callable[[LocalStore], object]) -> None:
        with pytest.raises(RootPermissionError):
            call(LocalStore(Root(root.path, now=time.time)))

    in_child(lambda: write(lambda kv: kv.put("a", 2)), uid=ALICE)
    in_child(lambda: write(lambda kv: kv.delete("a")), uid=ALICE)
    in_child(lambda: write(lambda kv: kv.incr("a")), uid=ALICE)


# -- damage -----------------------------------------------------------------------------------


def test_a_damaged_entry_is_a_miss_with_a_reason_and_is_set_aside(
    kv: LocalStore, root: Root, caplog: pytest.LogCaptureFixture
) -> None:
    kv.put("key", "value")
    (path,) = paths(root, "kv")
    damage.flip(path, -1)
    assert fresh(root).get("key", None) is None
    assert "checksum of the entry is wrong" in caplog.text
    assert len(os.listdir(f"{root.path}/quarantine")) == 1
    kv.put("key", "again")
    assert fresh(root).get("key") == "again"


@pytest.mark.parametrize("value", [bytes(100_000), "x" * 100_000, [b"", "x" * 100_000]])
def test_a_damaged_object_is_a_miss_with_a_reason_and_is_set_aside(
    kv: LocalStore, root: Root, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    kv.put("key", value)
    (path,) = paths(root, "objects")
    damage.flip(path, 5, keep_times=True)
    assert fresh(root).get("key", None) is None
    assert "corrupt; moved to" in caplog.text
    assert paths(root, "objects") == []
    kv.put("key", value)
    assert fresh(root).get("key") == value


def test_a_damaged_array_is_a_miss_where_its_file_is_not_the_one_that_was_written(
    kv: LocalStore, root: Root, caplog: pytest.LogCaptureFixture
) -> None:
    kv.put("key", np.arange(100_000))
    (path,) = paths(root, "objects")
    damage.flip(path, -1)
    assert fresh(root).get("key", None) is None
    assert "corrupt; moved to" in caplog.text


def test_an_array_without_its_head_is_a_miss(kv: LocalStore, root: Root) -> None:
    kv.put("key", np.arange(100_000))
    (path,) = paths(root, "objects")
    damage.overwrite(path, b"nothing")
    assert fresh(root).get("key", None) is None


@pytest.mark.parametrize("value", [bytes(100_000), np.zeros(100_000)], ids=["bytes", "array"])
def test_a_value_whose_object_is_gone_is_a_miss_with_a_reason(
    kv: LocalStore, root: Root, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    kv.put("key", value)
    os.unlink(paths(root, "objects")[0])
    with pytest.raises(KeyError):
        fresh(root).get("key")
    assert "is gone" in caplog.text


@pytest.mark.parametrize("payload", [b"\x7fx", b"@?", b"", b"Xi1"])
def test_what_a_later_version_wrote_is_an_error_that_says_so_and_stays(
    kv: LocalStore, root: Root, payload: bytes
) -> None:
    kv.put("key", 1)
    kv._shelf.entries.write(b"key", payload)
    with pytest.raises(FormatError, match="newer version"):
        fresh(root).get("key")
    assert fresh(root).keys() == ["key"] or payload[:1] != b"@"
    kv.put("key", 2)
    assert kv.get("key") == 2


def test_a_full_file_system_is_a_typed_error_and_the_old_value_stays(
    kv: LocalStore, root: Root
) -> None:
    kv.put("key", "old")

    def fill() -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        with pytest.raises(StoreFullError):
            fresh(root).put("key", "x" * 1000)

    in_child(fill)
    assert kv.get("key") == "old"
    assert os.listdir(f"{root.path}/partial") == []


def test_what_the_system_says_is_translated(kv: LocalStore, root: Root) -> None:
    kv.put("key", "old")
    (path,) = paths(root, "kv")
    directory = os.path.dirname(path)
    os.unlink(path)
    os.rmdir(directory)
    with open(directory, "wb"):
        pass
    with pytest.raises(StoreError, match="Not a directory"):
        kv.put("key", "new")


# -- collisions -------------------------------------------------------------------------------


def test_colliding_keys_live_side_by_side(root: Root) -> None:
    kv = LocalStore(root, hash_name=lambda _name: "c" * 20)
    keys = [f"key{number}" for number in range(10)]
    kv.multiput({key: key for key in keys})
    kv.put("key3", "t", ttl=5)
    assert kv.keys() == keys
    assert kv.delete("key0")
    assert kv.delete("key5")
    left = [key for key in keys if key not in ("key0", "key5")]
    again = LocalStore(root, hash_name=lambda _name: "c" * 20)
    assert again.keys() == left
    assert {key: again.get(key) for key in left} == {**{key: key for key in left}, "key3": "t"}
    again.put("key5", "back")
    assert kv.get("key5") == "back"


def test_a_key_is_not_believed_to_lie_where_another_has_taken_its_place(root: Root) -> None:
    def opened() -> LocalStore:
        return LocalStore(root, hash_name=lambda _name: "c" * 20)

    one, other = opened(), opened()
    one.put("a", 1)
    other.delete("a")
    other.put("b", 2)  # in the slot where `one` remembers "a"
    one.put("a", 3)
    assert opened().multiget(["a", "b"]) == {"a": 3, "b": 2}
    assert one.get("b") == 2


# -- serializer -------------------------------------------------------------------------------


def test_a_serializer_keeps_other_types_where_it_is_passed_and_only_there(
    kv: LocalStore, root: Root
) -> None:
    pickled = kv.store("objects", serializer=pickle)
    pickled.put("key", {1, 2})
    assert pickled.get("key") == {1, 2}
    assert pickled.cas("key", {2, 1}, {3})
    with pytest.raises(FormatError, match="serializer"):
        kv.store("objects").get("key")
    with pytest.raises(TypeError):
        kv.put("key", {1, 2})


# -- durability -------------------------------------------------------------------------------


def test_with_power_durability_what_is_put_is_synced_within_the_window(
    root_path: str, clock: Clock, until: Callable[..., None]
) -> None:
    root = Root(root_path, now=clock, durable=True)
    group = root.grouped_writer.group
    assert group is not None
    synced: list[str] = []
    group._sync = synced.append
    kv = LocalStore(root)
    kv.put("key", "old")
    (path,) = paths(root, "kv")
    until(lambda: path in synced and os.path.dirname(path) in synced, "the entry to be synced")
    synced.clear()
    kv.put("key", "new" * 1000)
    assert synced[0].startswith(f"{root_path}/partial/"), "synced before it replaces"
    kv.flush()
    synced.clear()
    kv.delete("key")
    kv.flush()
    assert synced[-1] == os.path.dirname(path)


def _inode(root: Root) -> int:
    (path,) = paths(root, "kv")
    return os.stat(path).st_ino


@pytest.mark.parametrize("durable", [False, True])
def test_every_change_of_a_key_that_is_there_is_made_in_its_file(
    root_path: str, clock: Clock, *, durable: bool
) -> None:
    root = Root(root_path, now=clock, durable=durable)
    kv = LocalStore(root)
    kv.put("key", 1)
    inode = _inode(root)
    for _ in range(3):
        kv.put("key", 2)
        assert kv.incr("key") == 3
        assert kv.cas("key", 3, 4)
        assert kv.expire("key", 10)
        kv.multiput({"key": 5})
        kv.flush()
    assert LocalStore(root).get("key") == 5
    assert _inode(root) == inode


def test_what_changes_in_place_waits_for_the_disk_only_within_a_window(
    root_path: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Group, "_start", lambda _self: None)  # it is flushed by hand
    waits: list[int] = []
    real = os.fdatasync

    def noted(fd: int) -> None:
        waits.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", noted)
    kv = LocalStore(Root(root_path, now=clock, durable=True))
    found = []
    for number in range(3):
        kv.put("key", number)  # the third one is over the first, two are over nothing
        found.append(len(waits))
    for number in range(3):
        kv.flush()
        kv.put("key", number)  # of what this process has flushed it knows that
        found.append(len(waits))
    kv.flush()
    LocalStore(Root(root_path, now=clock, durable=True)).put("key", "of another")
    found.append(len(waits))
    kv.put("key", "mine")  # of the other's, not
    found.append(len(waits))
    assert found == [0, 0, 1, 1, 1, 1, 2, 3]


def test_where_a_sync_fails_the_file_is_replaced(
    root_path: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Root(root_path, now=clock, durable=True)
    kv = LocalStore(root)
    kv.put("key", 1)
    kv.put("key", 2)
    inode = _inode(root)

    def fail(_fd: int) -> None:
        raise OSError(5, "no luck")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        kv.put("key", 3)
    assert _inode(root) != inode
    inode = _inode(root)
    kv.flush()
    kv.put("key", 4)
    assert _inode(root) != inode, "what a disk that fails says is believed"
    assert LocalStore(root).get("key") == 4


def test_with_process_durability_nothing_is_synced(
    kv: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise AssertionError("synced")

    monkeypatch.setattr(os, "fsync", fail)
    kv.put("key", bytes(100_000))
    kv.put("key", 1)
    kv.flush()


# -- imports ----------------------------------------------------------------------------------

FORBIDDEN = (
    "requests filelock keyring watchdog sqlite3 xmlrpc json logging dataclasses typing pathlib "
    "argparse numpy pickle"
)


def test_a_get_of_a_plain_value_imports_nothing_heavy(kv: LocalStore, root: Root) -> None:
    kv.put("key", "value")
    code = (
        "import sys, fscache.kv; assert fscache.kv.get('key') == 'value';"
        f"print([name for name in {FORBIDDEN!r}.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={"FSCACHE_ROOT": root.path, "HOME": root.path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.usefixtures("users")
def test_what_may_not_be_read_is_an_error_and_not_a_miss(open_tmp: str) -> None:
    root = Root(f"{open_tmp}/root", now=time.time)
    LocalStore(root).put("key", 1)
    os.chmod(os.path.dirname(paths(root, "kv")[0]), 0o700)

    def read() -> None:
        theirs = LocalStore(Root(root.path, now=time.time))
        for call in (theirs.get, theirs.keys, theirs.ttl):
            with pytest.raises(RootPermissionError):
                call("key")

    in_child(read, uid=ALICE)


# -- other processes --------------------------------------------------------------------------


def test_a_store_goes_to_another_process_as_it_was_opened(root_path: str) -> None:
    config = load_config(arguments={"durability": "power", "split": "2+18"})
    store = Cache(root_path, config=config).kv.store("other", serializer=pickle)
    program = (
        "import pickle, sys\n"
        "store = pickle.load(sys.stdin.buffer)\n"
        "store.put('complex', 1j)\n"
        "print(store, store._root.writer.durable, store._root.object_split)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(store),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode() == f"LocalStore({root_path!r}, 'other') True 2+18\n"
    assert store.get("complex") == 1j
    assert Cache(root_path).kv.store("other").keys() == ["complex"]
