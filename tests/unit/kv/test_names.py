"""Promises of fscache.kv.names: listing without reading every entry."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from fscache.fs.atomic import Modes
from fscache.kv import names
from fscache.kv.local import LocalStore
from fscache.records.entries import EntryStore
from fscache.records.root import Root
from tests.support.processes import ALICE, BOB, LAB, in_child

if TYPE_CHECKING:
    from tests.conftest import Clock

KEYS = ["a", "line\nbreak", "back\\slash", "\\n", "\\b", "\\\\n\n", "", "ü", "\udcff"]


@pytest.fixture
def kv(root: Root) -> LocalStore:
    return LocalStore(root)


def fresh(root: Root) -> LocalStore:
    return LocalStore(Root(root.path, now=root.now))


def log_path(root: Root) -> str:
    directory = f"{root.path}/journal/kv/default"
    (name,) = os.listdir(directory)
    return f"{directory}/{name}"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The entries that a listing reads."""
    found: list[str] = []
    real = EntryStore.load

    def load(self: EntryStore, path: str) -> object:
        found.append(path)
        return real(self, path)

    monkeypatch.setattr(EntryStore, "load", load)
    return found


def test_a_listing_of_logged_keys_reads_no_entry(
    kv: LocalStore, root: Root, reads: list[str]
) -> None:
    kv.multiput(dict.fromkeys(KEYS, 1))
    assert kv.keys() == sorted(KEYS)
    assert fresh(root).keys() == sorted(KEYS)
    assert reads == []


def test_without_the_log_the_entries_are_read_once_and_noted(
    kv: LocalStore, root: Root, reads: list[str]
) -> None:
    kv.multiput(dict.fromkeys(KEYS, 1))
    shutil.rmtree(f"{root.path}/journal")
    other = fresh(root)
    assert other.keys() == sorted(KEYS)
    assert len(reads) == len(KEYS)
    assert other.keys() == fresh(root).keys() == sorted(KEYS)
    assert len(reads) == len(KEYS)


def test_a_log_deleted_under_a_writer_is_begun_again_where_it_matters(
    kv: LocalStore, root: Root, clock: Clock
) -> None:
    kv.put("plain", 1)
    shutil.rmtree(f"{root.path}/journal")
    kv.put("short", 1, ttl=5)
    kv.put("plain2", 1)
    with open(log_path(root)) as file:
        assert "*short" in file.read()
    clock.advance(6)
    assert fresh(root).keys() == ["plain", "plain2"]


def test_a_torn_or_foreign_line_costs_nothing(kv: LocalStore, root: Root) -> None:
    kv.put("key", 1)
    with open(log_path(root), "ab") as file:
        file.write(b"\n-torn\n\n*\n?what\n\xff\xfe\n-\\")
    kv.put("later", 2)
    assert kv.keys() == fresh(root).keys() == ["key", "later"]


def test_a_key_that_got_a_ttl_later_is_looked_into(
    kv: LocalStore, root: Root, clock: Clock
) -> None:
    other = fresh(root)
    kv.put("key", 1)
    assert other.keys() == ["key"]
    kv.put("key", 2, ttl=5)
    clock.advance(6)
    assert other.keys() == []
    kv.put("key", 3)
    assert other.keys() == ["key"]


def test_a_log_full_of_what_is_gone_is_written_anew(
    kv: LocalStore, root: Root, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_FEW", 50)
    kv.put("short", 1, ttl=5)
    for number in range(100):
        kv.put(f"key{number}", 1)
        kv.delete(f"key{number}")
    kv.put("stays", 1)
    before = os.path.getsize(log_path(root))
    assert fresh(root).keys() == ["short", "stays"]
    assert os.path.getsize(log_path(root)) < before / 10
    assert fresh(root).keys() == kv.keys() == ["short", "stays"]
    kv.put("after", 1, ttl=3)
    clock.advance(6)
    assert fresh(root).keys() == kv.keys() == ["stays"]


def test_a_log_in_use_is_left_alone(
    kv: LocalStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_FEW", 5)
    for number in range(30):
        kv.put(f"key{number}", 1)
        kv.delete(f"key{number}")
    before = os.path.getsize(log_path(root))
    with root.shared:
        assert fresh(root).keys() == []
    assert os.path.getsize(log_path(root)) == before


def test_a_ttl_that_cannot_be_noted_is_not_given(kv: LocalStore, root: Root) -> None:
    kv.put("key", 1)
    shutil.rmtree(f"{root.path}/journal")
    with open(f"{root.path}/journal", "wb"):
        pass
    other = fresh(root)
    with pytest.raises(Exception, match="Not a directory"):
        other.put("key", 2, ttl=5)
    assert other.get("key") == 1
    other.put("new", 1)  # what needs no note needs no log
    assert other.keys() == ["key", "new"]


@pytest.mark.usefixtures("users")
def test_each_user_has_a_log_and_all_are_read(open_tmp: str) -> None:
    os.chmod(open_tmp, 0o777)

    def opened() -> LocalStore:
        return LocalStore(Root(f"{open_tmp}/root", now=time.time, modes=Modes(LAB)))

    in_child(lambda: opened().put("alice", 1), uid=ALICE, groups=[LAB])
    in_child(lambda: opened().put("bob", 1), uid=BOB, groups=[LAB])
    assert opened().keys() == ["alice", "bob"]
    assert len(os.listdir(f"{open_tmp}/root/journal/kv/default")) == 2


def test_another_split_is_listed_too(root_path: str, clock: Clock) -> None:
    os.makedirs(root_path)
    with open(f"{root_path}/FORMAT", "w") as file:
        file.write("1\nobjects 4+4+12\nentries 3+3+14\n")
    kv = LocalStore(Root(root_path, now=clock))
    kv.multiput({"a": 1, "b": bytes(100_000)})
    again = LocalStore(Root(root_path, now=clock))
    assert again.keys() == ["a", "b"]
    assert again.get("b") == bytes(100_000)
    assert again.stores() == ["default"]
