"""ipyparallel's own tests of backends, against ours, and what they do not ask."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import TestCase

import pytest

pytest.importorskip("ipyparallel", reason="ipyparallel is not installed")

from ipyparallel.controller.app import IPController
from ipyparallel.tests import test_db as theirs
from traitlets import TraitError
from traitlets.config import Config

from fscache.bridges.ipyparallel import FSCacheDB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "fscache.bridges.ipyparallel.FSCacheDB"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Ours:
    """Makes our backend for their tests, a new root for each."""

    @pytest.fixture(autouse=True)
    def _roots(self, tmp_path: Path) -> Iterator[None]:
        self._tmp_path = tmp_path
        self._made: list[FSCacheDB] = []
        yield
        for made in self._made:
            made.close()
        vars(self).clear()  # unittest keeps the instance, and with it the roots' locks

    def create_db(self) -> FSCacheDB:
        made = FSCacheDB(root=str(self._tmp_path / f"root-{len(self._made)}"))
        self._made.append(made)
        return made


class TestTheirs(Ours, theirs.TaskDBTest, TestCase):
    """The 15 that every backend passes."""


class TestTheirsOfCulling(Ours, theirs.TestDictBackend):
    """DictDB's, of culling too, with tasks that have completed: ours never takes others."""

    def load_records(self, n: int = 1, buffer_size: int = 100) -> list[str]:
        init_record = theirs.init_record

        def completed(msg: Any) -> dict[str, Any]:
            return {**init_record(msg), "completed": NOW}

        theirs.init_record = completed
        try:
            ids: list[str] = super().load_records(n, buffer_size)
        finally:
            theirs.init_record = init_record
        return ids


@pytest.fixture
def db(root_path: str) -> Iterator[FSCacheDB]:
    made = FSCacheDB(root=root_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("trait", "value"),
    [("record_limit", -1), ("size_limit", -1), ("age_limit", -1.0), ("cull_fraction", 1.5)],
)
def test_a_limit_that_is_none_is_refused(db: FSCacheDB, trait: str, value: float) -> None:
    with pytest.raises(TraitError, match=trait):
        setattr(db, trait, value)
    with pytest.raises(TraitError, match=trait):
        FSCacheDB(root=db.root, **{trait: value})


@pytest.mark.parametrize("durability", ["process", "power"])
def test_making_one_opens_nothing_and_starts_nothing(
    root_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    (tmp_path / "config.toml").write_text(f'durability = "{durability}"\n')
    monkeypatch.setenv("FSCACHE_CONFIG", str(tmp_path / "config.toml"))
    FSCacheDB(root=root_path).close()  # what is imported on the way may open things
    before = (set(os.listdir("/proc/self/fd")), threading.active_count())
    made = FSCacheDB(root=root_path)
    assert (set(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert not os.path.exists(root_path)
    made.close()


def test_a_root_may_be_in_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = FSCacheDB(root="~/tasks")
    made.add_record("a", {})
    made.close()
    assert (tmp_path / "tasks" / "FORMAT").exists()


def test_closing_twice_does_no_harm_and_is_not_needed(db: FSCacheDB, root_path: str) -> None:
    db.add_record("a", {"submitted": NOW})
    other = FSCacheDB(root=root_path)
    assert other.get_history() == ["a"]
    other.close()
    other.close()


def test_pending_tasks_are_never_culled_nor_counted(db: FSCacheDB) -> None:
    db.record_limit = 5
    for number in range(10):
        db.add_record(f"id-{number}", {"submitted": NOW + timedelta(seconds=number)})
    assert len(db.get_history()) == 10
    for number in range(5):
        db.update_record(f"id-{number}", {"completed": NOW + timedelta(minutes=1)})
    assert len(db.get_history()) == 10  # whoever asks for a result has time to do so
    for number in range(5, 8):
        db.update_record(f"id-{number}", {"completed": NOW + timedelta(minutes=1)})
    assert db.get_history() == [f"id-{number}" for number in range(3, 10)]


def test_a_small_limit_with_a_small_fraction_is_kept(db: FSCacheDB) -> None:
    db.record_limit, db.cull_fraction = 3, 0.1
    for number in range(10):
        times = dict.fromkeys(("submitted", "completed"), NOW + timedelta(seconds=number))
        db.add_record(f"id-{number}", times)
    assert db.get_history() == ["id-7", "id-8", "id-9"]


def test_tasks_are_culled_by_age(db: FSCacheDB) -> None:
    now = datetime.now(UTC)
    db.add_record("old", {"submitted": now - timedelta(days=1), "completed": now})
    db.age_limit = 3600.0
    db.add_record("new", {"submitted": now})
    assert db.get_history() == ["new"]


def test_what_two_of_their_backends_get_wrong_is_right(db: FSCacheDB) -> None:
    for number in range(4):
        changes = {"completed": NOW} if number % 2 else {}
        record = {
            "submitted": NOW + timedelta(seconds=number),
            "engine_uuid": f"e{number // 2}",
            "queue": "task",
        }
        db.add_record(f"id-{number}", record | changes)

    def ids(query: dict[str, Any]) -> list[str]:
        return [record["msg_id"] for record in db.find_records(query, ["queue"])]

    assert ids({"engine_uuid": "e1", "queue": "task"}) == ["id-2", "id-3"]
    assert ids({"submitted": {"$gt": NOW + timedelta(seconds=1)}}) == ["id-2", "id-3"]
    assert ids({"completed": {"$gte": NOW}}) == ["id-1", "id-3"]
    assert ids({"msg_id": {"$in": [f"id-{number}" for number in range(3000)]}}) == ids({})
    # As `purge_results(targets=…)` does it.
    db.drop_matching_records({"msg_id": {"$in": []}})
    db.drop_matching_records({"engine_uuid": "e0", "completed": {"$ne": None}})
    assert ids({}) == ["id-0", "id-2", "id-3"]


def test_display_data_is_kept(db: FSCacheDB) -> None:
    db.add_record("a", {"submitted": NOW})
    db.update_record("a", {"display_data": {"data": {"text/plain": "π"}}})
    assert db.get_record("a")["display_data"] == {"data": {"text/plain": "π"}}


def test_a_controller_takes_it_by_name(root_path: str) -> None:
    controller = IPController(
        config=Config({"IPController": {"db_class": NAME}, "FSCacheDB": {"root": root_path}})
    )
    made = controller.db_class(session="s", parent=controller, log=controller.log)
    assert isinstance(made, FSCacheDB)
    assert made.root == root_path
    made.close()


def test_where_nothing_is_to_be_kept_nothing_is(
    root_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('tasks = "none"\n')
    monkeypatch.setenv("FSCACHE_CONFIG", str(tmp_path / "config.toml"))
    made = FSCacheDB(root=root_path)
    made.add_record("a", {"submitted": NOW})
    with pytest.raises(KeyError):
        made.get_record("a")
    assert not os.path.exists(root_path)
    made.close()
