"""Promises of fscache.migrate.taskdb: every table of an old file, once, and nothing of it run."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fscache.errors import StoreError
from fscache.migrate import taskdb
from fscache.migrate.readers import detect
from fscache.tasks import backends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase

START = datetime(2024, 5, 1, 12, tzinfo=UTC)
COLUMNS = (
    "msg_id text PRIMARY KEY, header dict text, metadata dict text, content dict text, "
    "buffers bufs blob, submitted timestamp, client_uuid text, engine_uuid text, "
    "started timestamp, completed timestamp, resubmitted text, received timestamp, "
    "result_header dict text, result_metadata dict text, result_content dict text, "
    "result_buffers bufs blob, queue text, execute_input text, execute_result text, "
    "error text, stdout text, stderr text, label text"
)
OLD_COLUMNS = (
    "msg_id text PRIMARY KEY, header dict text, content dict text, buffers bufs blob, "
    "submitted timestamp, client_uuid text, engine_uuid text, started timestamp, "
    "completed timestamp, resubmitted text, result_header dict text, result_content dict text, "
    "result_buffers bufs blob, queue text, pyin text, pyout text, pyerr text, stdout text, "
    "stderr text"
)


@pytest.fixture
def tasks(root: Root) -> Iterator[TaskDatabase]:
    made = backends.in_files(root)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "tasks.db")


def write(path: str, table: str, rows: list[Mapping[str, Any]], columns: str = COLUMNS) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f'CREATE TABLE IF NOT EXISTS "{table}" ({columns})')
        for row in rows:
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            connection.execute(
                f'REPLACE INTO "{table}" ({names}) VALUES ({marks})', list(row.values())
            )
    connection.close()


def row(msg_id: str, number: int = 0, **further: Any) -> dict[str, Any]:
    submitted = START + timedelta(minutes=number)
    return {
        "msg_id": msg_id,
        "header": json.dumps({"msg_id": msg_id, "date": submitted.isoformat()}),
        "content": "{}",
        "submitted": submitted.isoformat(),
        "buffers": pickle.dumps([b"abc", b""], -1),
        "stdout": "",
        **further,
    }


def nobody(msg_id: str, why: str) -> None:
    pytest.fail(f"{msg_id} was passed over: {why}")


def test_every_table_is_read_the_oldest_first(tasks: TaskDatabase, path: str) -> None:
    for number in reversed(range(12)):
        table = f"ipython-tasks_{number}" if number else "ipython-tasks"
        write(path, table, [row(f"{number:02}-{part}", number) for part in "ab"])
    write(path, "_0d41c6c2_session", [row("mine")])
    write(path, "notes", [], "k text, v text")
    assert detect(path) == "ipyparallel"
    assert taskdb.count(path) == taskdb.Imported(13, 25)
    done = taskdb.import_file(path, tasks, nobody)
    assert done == taskdb.Imported(tables=13, records=25)
    found = [record["msg_id"] for record in tasks.find_records({}, ["msg_id"])]
    assert found == ["mine", *(f"{number:02}-{part}" for number in range(12) for part in "ab")]


def test_a_record_is_what_it_was(tasks: TaskDatabase, path: str) -> None:
    done = START + timedelta(seconds=3, microseconds=7)
    write(
        path,
        "ipython-tasks",
        [
            row(
                "a",
                completed=done.isoformat(),
                engine_uuid="e1",
                queue="task",
                result_buffers=pickle.dumps([b"r" * 10_000], -1),
                execute_result='{"data": {"text/plain": "42"}}',
                execute_input="6 * 7",
                result_content='{"status": "ok"}',
                stdout="ünï\n",
            )
        ],
    )
    taskdb.import_file(path, tasks, nobody)
    record = tasks.get_record("a")
    assert (record["submitted"], record["completed"]) == (START, done)
    assert record["header"] == {"msg_id": "a", "date": START}
    assert record["buffers"] == [b"abc", b""]
    assert record["result_buffers"] == [b"r" * 10_000]
    assert record["execute_result"] == {"data": {"text/plain": "42"}}
    assert record["execute_input"] == "6 * 7"
    assert record["stdout"] == "ünï\n"
    assert record["started"] is None


def test_a_second_import_changes_nothing_but_what_has_completed_since(
    tasks: TaskDatabase, path: str
) -> None:
    write(path, "ipython-tasks", [row("a", completed=START.isoformat()), row("b", 1)])
    taskdb.import_file(path, tasks, nobody)
    tasks.update_record("a", {"label": "changed here"})
    later = START + timedelta(hours=1)
    write(path, "ipython-tasks", [row("b", 1, completed=later.isoformat(), stdout="done")])
    done = taskdb.import_file(path, tasks, nobody)
    assert (done.records, done.again) == (2, 2)
    assert tasks.get_record("a")["label"] == "changed here"
    assert tasks.get_record("b")["completed"] == later
    assert tasks.get_record("b")["stdout"] == "done"
    before = tasks.find_records({})
    taskdb.import_file(path, tasks, nobody)
    assert tasks.find_records({}) == before


def test_an_import_that_was_cut_short_goes_on(
    root: Root, tasks: TaskDatabase, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, "ipython-tasks", [row(f"id-{number:04}", number) for number in range(1200)])
    add = tasks.add_record

    def full(msg_id: str, rec: Mapping[str, Any]) -> None:
        if msg_id == "id-0700":
            raise StoreError(path=root.path, why="the disk is full")
        add(msg_id, rec)

    monkeypatch.setattr(tasks, "add_record", full)
    with pytest.raises(StoreError, match="full"):
        taskdb.import_file(path, tasks, nobody)
    assert len(tasks) == 700
    monkeypatch.setattr(tasks, "add_record", add)
    done = taskdb.import_file(path, tasks, nobody)
    assert (done.records, done.again) == (1200, 700)
    assert tasks.get_history() == [f"id-{number:04}" for number in range(1200)]


def test_tables_of_ipython_itself_are_read(tasks: TaskDatabase, path: str) -> None:
    old = row("a", pyin="1/0", pyerr='{"ename": "ZeroDivisionError"}')
    old["submitted"] = "2013-01-02 03:04:05.000006"
    write(path, "ipython-tasks", [old], OLD_COLUMNS)
    taskdb.import_file(path, tasks, nobody)
    record = tasks.get_record("a")
    assert record["execute_input"] == "1/0"
    assert record["error"] == {"ename": "ZeroDivisionError"}
    # It was local time, as all of theirs.
    assert record["submitted"] == datetime(2013, 1, 2, 3, 4, 5, 6).astimezone()


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)


def test_nothing_in_the_file_is_run(tasks: TaskDatabase, path: str, tmp_path: Path) -> None:
    trap = str(tmp_path / "trap")
    passed: list[tuple[str, str]] = []
    write(
        path,
        "ipython-tasks",
        [
            row("evil", buffers=pickle.dumps([Evil(trap)], -1)),
            row("torn", buffers=pickle.dumps([b"x" * 100], -1)[:-20]),
            row("other", buffers=pickle.dumps({"a": 1}, -1)),
            row("text", buffers="no pickle"),
            row("json", header="{never closed"),
            row("date", submitted="yesterday"),
            row("good"),
        ],
    )
    done = taskdb.import_file(path, tasks, lambda msg_id, why: passed.append((msg_id, why)))
    assert not os.path.exists(trap)
    assert [msg_id for msg_id, _ in passed] == ["evil", "torn", "other", "text", "json", "date"]
    assert "mkdir" in passed[0][1]
    assert (done.records, done.passed) == (1, 6)
    assert tasks.get_history() == ["good"]


def test_the_file_is_not_changed_and_may_be_read_only(tasks: TaskDatabase, path: str) -> None:
    write(path, "ipython-tasks", [row("a")])
    with open(path, "rb") as file:
        before = file.read()
    os.chmod(path, 0o444)
    taskdb.import_file(path, tasks, nobody)
    with open(path, "rb") as file:
        assert file.read() == before
    assert [name for name in os.listdir(os.path.dirname(path)) if name != "cache"] == ["tasks.db"]


def test_other_files_are_refused(tasks: TaskDatabase, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "damaged").write_bytes(b"SQLite format 3\0" + bytes(2000))
    write(str(tmp_path / "other"), "metastore", [], "k varchar(255), v text, primary key(k)")
    for name in ("text", "damaged", "missing", "other"):
        assert not taskdb.recognises(str(tmp_path / name))
        with pytest.raises(StoreError):
            taskdb.import_file(str(tmp_path / name), tasks, nobody)
    assert detect(str(tmp_path / "other")) == "metastore"
    assert len(tasks) == 0


def test_a_damaged_file_gives_what_can_be_read_and_says_so(tasks: TaskDatabase, path: str) -> None:
    write(path, "ipython-tasks", [row(f"id-{number}", number) for number in range(2000)])
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 4))
    with pytest.raises(StoreError, match="cannot be read"):
        taskdb.import_file(path, tasks, nobody)
