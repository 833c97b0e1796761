"""Promises of the package fscache.tasks: functions on the default cache's task database."""

from __future__ import annotations

import inspect
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import fscache
from fscache import tasks
from fscache.config import load
from fscache.errors import NoSuchTaskError, NoTaskDataError
from fscache.tasks import backends
from fscache.tasks.face import Tasks
from fscache.tasks.none import NoTasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Clock

NOW = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture
def installed(clock: Clock) -> Iterator[Tasks]:
    made = backends.in_memory(clock)
    tasks.install(lambda: made)
    yield made
    tasks.install(None)
    made.close()


def test_the_functions_do_what_the_methods_do(installed: Tasks) -> None:
    tasks.add_record("a", {"submitted": NOW, "buffers": [b"x"]})
    tasks.add_record("b", {"submitted": NOW})
    tasks.update_record("a", {"completed": NOW})
    assert tasks.default() is installed
    assert tasks.get_record("a")["completed"] == NOW
    assert tasks.get_history() == ["a", "b"]
    assert tasks.count({"completed": None}) == 1
    assert tasks.find_records({"msg_id": "a"}, "buffers") == [{"msg_id": "a", "buffers": [b"x"]}]
    assert "buffers" not in tasks.db_query({})[0]
    assert tasks.wait(["a"], 0)
    assert not tasks.wait(["b"], 0)
    assert tasks.is_own("a")
    assert list(tasks.to_dataframe(keys=["submitted"]).index) == ["a", "b"]
    task = tasks.submit(divmod, 7, 2, label="division")
    assert task.result(20) == (3, 1)
    assert tasks.get_result(task.msg_id) == (3, 1)
    again = tasks.resubmit(task.msg_id)
    assert again.result(20) == (3, 1)
    assert tasks.purge({"msg_id": "a"}) == 1
    tasks.drop_record("b")
    assert tasks.drop_matching_records({"label": "division"}) == 2
    assert tasks.get_history() == []


def test_every_method_is_a_function_with_the_same_parameters() -> None:
    for name, method in inspect.getmembers(Tasks, inspect.isfunction):
        if name.startswith("_") or name == "close":
            continue
        ours = list(inspect.signature(getattr(tasks, name)).parameters)
        assert ours == list(inspect.signature(method).parameters)[1:], name
        assert name in tasks.__all__


@pytest.mark.parametrize("backend", [backends.TaskDatabase, NoTasks])
def test_every_backend_has_every_method_with_the_same_parameters(backend: type[Tasks]) -> None:
    for name, method in inspect.getmembers(Tasks, inspect.isfunction):
        if name == "__init__":
            continue
        ours = getattr(backend, name)
        parameters = [str(each) for each in inspect.signature(ours).parameters.values()]
        assert parameters == [str(each) for each in inspect.signature(method).parameters.values()]
        if "NotImplementedError" in inspect.getsource(method):
            assert ours is not method, name


def test_the_default_database_is_the_default_caches(
    monkeypatch: pytest.MonkeyPatch, root_path: str
) -> None:
    monkeypatch.setenv("FSCACHE_ROOT", root_path)
    monkeypatch.setattr(fscache, "_cache", None)
    tasks.add_record("a", {"submitted": NOW})
    assert tasks.default() is fscache.default().tasks
    assert fscache.tasks is tasks
    with fscache.Cache(root_path) as other:
        assert other.tasks.get_history() == ["a"]
    fscache.default().close()


def cache_with(root_path: str, **settings: object) -> fscache.Cache:
    return fscache.Cache(root_path, config=load({}, settings, "/nonexistent"))


def test_the_backend_is_as_configured(root_path: str) -> None:
    with cache_with(root_path, tasks="memory") as cache:
        cache.tasks.add_record("a", {})
        assert cache.tasks.count({}) == 1
    with cache_with(root_path, tasks="memory") as cache:
        assert cache.tasks.count({}) == 0
    with cache_with(root_path, tasks="none") as cache:
        none = cache.tasks
        none.add_record("a", {})
        none.update_record("a", {"stdout": "x"})
        none.drop_record("a")
        assert none.drop_matching_records({}) == none.purge() == 0
        for ask in (
            *(lambda: none.get_record("a"), lambda: none.find_records({}), none.get_history),
            *(lambda: none.db_query({}), lambda: none.count({}), lambda: none.wait(["a"])),
            *(lambda: none.is_own("a"), lambda: none.resubmit("a")),
        ):
            with pytest.raises(NoTaskDataError):
                ask()
        with pytest.raises(KeyError):  # as NoDB's
            none.get_record("a")
        assert none.submit(divmod, 7, 2).result(20) == (3, 1)
    with cache_with(
        root_path, tasks_max_records=5, tasks_max_size="1KiB", tasks_max_age="1h"
    ) as cache:
        limits = cache.tasks.limits
        assert (limits.records, limits.size, limits.age) == (5, 1024, 3600)
        for number in range(8):
            cache.tasks.add_record(f"{number}", {"submitted": datetime.now(UTC), "completed": NOW})
        assert cache.tasks.count({}) <= 5


def test_a_closed_cache_opens_its_tasks_again(root_path: str) -> None:
    cache = fscache.Cache(root_path)
    cache.tasks.add_record("a", {})
    cache.close()
    assert cache.tasks.get_record("a")["msg_id"] == "a"
    with pytest.raises(NoSuchTaskError):
        cache.tasks.get_record("b")
    cache.close()


def test_importing_the_names_imports_no_database() -> None:
    code = (
        "import fscache.tasks, sys;"
        "print([each for each in ('sqlite3', 'logging', 'pickle', 'xxhash', 'requests',"
        " 'fscache.tasks.database', 'concurrent.futures') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
