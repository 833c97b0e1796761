"""The commands `fscache tasks …`, as a user calls them."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import termios
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fscache.cache import Cache
from fscache.migrate import metastore
from fscache.remote.cache import RemoteCache
from tests.support.commands import PROGRAM, Shell
from tests.support.processes import in_child
from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fscache.tasks.face import Tasks


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(str(tmp_path / ".cache" / "fscache")) as made:
        yield made


@pytest.fixture
def tasks(cache: Cache) -> Tasks:
    """Tasks 0 to 9, a minute apart; 0 and 5 failed, 8 runs, 9 waits."""
    now = datetime.now(UTC)
    for number in range(10):
        submitted = now - timedelta(minutes=100 - number)
        record = {
            "submitted": submitted,
            "client_uuid": "me",
            "queue": "task",
            "label": f"l{number % 2}",
            "header": {"msg_type": "apply_request"},
            "buffers": [b"x" * 100],
            "stdout": "",
            "stderr": "",
        }
        if number < 9:
            record |= {"engine_uuid": "e1", "started": submitted + timedelta(seconds=1)}
        if number < 8:
            record |= {
                "completed": submitted + timedelta(seconds=3),
                "result_content": {"status": "ok" if number % 5 else "error"},
                "result_buffers": [b"y" * 20],
            }
        cache.tasks.add_record(f"id-{number}", record)
    return cache.tasks


def ids(*numbers: int) -> list[str]:
    return [f"id-{number}" for number in numbers]


def test_ls_tells_the_latest_first(shell: Shell, tasks: Tasks) -> None:
    done = shell.run("tasks", "ls")
    assert (done.code, done.err) == (0, "")
    heading, *lines = done.lines
    assert heading.split() == ["STATE", "SUBMITTED", "RAN", "LABEL", "ENGINE", "TASK", "ID"]
    assert [line.split()[-1] for line in lines] == ids(*range(9, -1, -1))
    assert [line.split()[0] for line in lines[:3]] == ["queued", "running", "done"]
    assert lines[2].split()[2:] == ["2.000000", "l1", "e1", "apply_request", "id-7"]


def test_ls_in_json_filtered_sorted_and_cut_off(shell: Shell, tasks: Tasks) -> None:
    done = shell.run(
        *("tasks", "ls", "--json", "--filter", "submitted>95m", "--query", '{"label": "l1"}'),
        *("--sort", "completed", "--reverse", "--limit", "2"),
    )
    assert [each["msg_id"] for each in done.objects] == ids(1, 3)
    first = done.objects[0]
    record = tasks.get_record("id-1")
    assert first["state"] == "done"
    assert first["duration"] == 2.0
    assert datetime.fromisoformat(first["completed"]) == record["completed"]


def test_an_empty_database_lists_nothing(shell: Shell, cache: Cache) -> None:
    assert shell.run("tasks", "ls", "--json").out == b""
    assert shell.run("tasks", "query", "{}").out == b""
    assert shell.run("tasks", "purge", "--max-records", "5").lines == ["0 tasks dropped"]
    assert not os.path.exists(cache.root.path)


def test_show_tells_all_but_the_buffers_bytes(shell: Shell, tasks: Tasks) -> None:
    tasks.update_record(
        "id-0",
        {
            "stdout": "one\n\x1b[2Jtwo\n",
            "error": {"ename": "E", "traceback": ["\x1b[0;31mline 1\x1b[39m", "line 2\n", "E: x"]},
        },
    )
    done = shell.run("tasks", "show", "id-0", "id-1")
    told = done.out.decode()
    assert re.search(r"^state +failed$", told, re.MULTILINE)
    assert re.search(r"^buffers +\[100\]$", told, re.MULTILINE)
    assert "stdout:\n    one\n    \\x1b[2Jtwo\n" in told
    assert "traceback:\n    line 1\n    line 2\n    E: x\n" in told
    assert re.search(r'^error +{"ename": "E"}$', told, re.MULTILINE)
    assert told.count("msg_id") == 2
    as_json = shell.run("tasks", "show", "id-0", "--json").objects[0]
    assert as_json["stdout"] == "one\n\x1b[2Jtwo\n"
    assert as_json["result_buffers"] == [20]


def test_a_task_that_is_not_there_is_3_and_the_others_are_shown(shell: Shell, tasks: Tasks) -> None:
    done = shell.run("tasks", "show", "--json", "id-0", "nope", "id-1")
    assert done.code == 3
    assert [each["msg_id"] for each in done.objects] == ids(0, 1)
    assert done.errors[0]["error"] == {
        "code": "no-such-task", "message": "no task 'nope'", "msg_id": "nope"
    }  # fmt: skip


def test_query_takes_the_queries_of_db_query(shell: Shell, tasks: Tasks) -> None:
    done = shell.run("tasks", "query", '{"completed": null}')
    assert done.lines == ids(8, 9)
    done = shell.run("tasks", "query", "-", "--keys", "label, queue", stdin=b'{"msg_id": "id-3"}')
    assert done.lines == ["id-3\tl1\ttask"]
    then = tasks.get_record("id-6")["submitted"]
    text = json.dumps({"submitted": {"$gte": then.isoformat()}, "completed": {"$ne": None}})
    done = shell.run("tasks", "query", text, "--json", "--filter", "state=done")
    assert [each["msg_id"] for each in done.objects] == ids(6, 7)
    local = json.dumps({"submitted": {"$gte": then.astimezone().replace(tzinfo=None).isoformat()}})
    done = shell.run("tasks", "query", local)
    assert (done.lines, done.err) == (ids(6, 7, 8, 9), "")
    done = shell.run("tasks", "query", text, "--json", "--filter", "state=done")
    assert "buffers" not in done.objects[0]
    assert done.objects[0]["header"] == {"msg_type": "apply_request"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["query", '{"complet": null}'], "did you mean 'completed'"),
        (["query", '{"label": {"$glb": "x"}}'], "did you mean '$glob'"),
        (["query", '{"label": {"$in": "x"}}'], "takes a list"),
        (["query", '{"started": {"$gt": "yesterday"}}'], "ISO 8601"),
        (["query", "[]"], "no JSON object"),
        (["query", "{"], "no JSON"),
        (["query", "{}", "--keys", "labl"], "did you mean 'label'"),
        (["ls", "--filter", "started=1h"], "is a date"),
        (["ls", "--filter", "nope=1"], "no key 'nope'"),
        (["top", "--interval", "0"], "--interval"),
        (["purge", "--pending"], "--pending"),
        (["purge", "--dry-run", "--max-records", "3"], "--dry-run"),
    ],
)
def test_what_is_wrong_with_a_question_is_2_and_says_what(
    shell: Shell, tasks: Tasks, arguments: list[str], told: str
) -> None:
    done = shell.run("tasks", *arguments)
    assert done.code == 2
    assert told in done.err
    assert done.err.count("\n") == 1


def test_purge_takes_what_it_is_told_and_nothing_pending(shell: Shell, tasks: Tasks) -> None:
    plan = shell.run("tasks", "purge", "--dry-run", "--filter", "state=failed", "--json")
    assert plan.objects == [{"dry_run": True, "tasks": 2}]
    assert "the room it frees is not foreseen" in plan.err
    assert len(tasks) == 10
    done = shell.run("tasks", "purge", "--filter", "state=failed", "--json")
    assert done.objects == [{"dry_run": False, "tasks": 2}]
    assert shell.run("tasks", "purge", "--max-records", "4").out == b"2 tasks dropped\n"
    assert tasks.get_history() == ids(3, 4, 6, 7, 8, 9)
    # Each of those that have completed has 120 bytes, those pending 100.
    assert shell.run("tasks", "purge", "--max-size", "440").code == 0
    assert tasks.get_history() == ids(6, 7, 8, 9)
    assert shell.run("tasks", "purge", "--query", "{}").out == b"2 tasks dropped\n"
    assert tasks.get_history() == ids(8, 9)
    done = shell.run("tasks", "purge", "--pending", "--query", '{"msg_id": "id-8"}')
    assert done.out == b"1 tasks dropped\n"
    assert tasks.get_history() == ids(9)


def test_purge_without_a_word_keeps_the_configured_limits(
    shell: Shell, tasks: Tasks, tmp_path: Path
) -> None:
    done = shell.run("tasks", "purge")
    assert (done.code, done.out) == (0, b"")
    assert "no limit configured" in done.err
    (tmp_path / "config.toml").write_text("tasks_max_records = 4\n")
    plan = shell.run("tasks", "purge", "--dry-run", FSCACHE_CONFIG=str(tmp_path / "config.toml"))
    assert "cannot foresee what the configured limits take" in plan.err
    assert (plan.out, len(tasks)) == (b"", 10)
    done = shell.run("tasks", "purge", FSCACHE_CONFIG=str(tmp_path / "config.toml"))
    assert done.out == b"4 tasks dropped\n"
    assert tasks.get_history() == ids(4, 5, 6, 7, 8, 9)


def test_resubmit_runs_a_task_again_under_a_new_id(shell: Shell, cache: Cache) -> None:
    good, bad = cache.tasks.submit(max, 3, 4), cache.tasks.submit(int, "x")
    assert good.result(20) == 4
    assert isinstance(bad.exception(20), ValueError)
    done = shell.run("tasks", "resubmit", "--json", good.msg_id)
    assert done.code == 0
    told = done.objects[0]
    assert (told["msg_id"], told["state"]) == (good.msg_id, "done")
    assert cache.tasks.get_record(good.msg_id)["resubmitted"] == told["resubmitted"]
    assert cache.tasks.get_result(told["resubmitted"], 20) == 4
    done = shell.run("tasks", "resubmit", bad.msg_id)
    assert done.code == 1
    assert "failed: ValueError" in done.out.decode()


def test_resubmit_is_interrupted_under_a_running_task_and_the_record_says_so(
    shell: Shell, cache: Cache, until: Callable[..., None]
) -> None:
    def submit() -> str:  # in a process whose end is that of the task
        return Cache(cache.root.path).tasks.submit(time.sleep, 600).msg_id

    cache.root.ensure()
    old = in_child(submit)
    with shell.start("tasks", "resubmit", old) as process:
        started = {"resubmitted": None, "started": {"$ne": None}, "msg_id": {"$ne": old}}
        until(lambda: cache.tasks.count(started), "the new task to run")
        until(lambda: cache.tasks.get_record(old)["resubmitted"], "the old record to be told")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    (new,) = cache.tasks.find_records({"msg_id": {"$ne": old}})
    assert cache.tasks.get_record(old)["resubmitted"] == new["msg_id"]
    assert new["completed"] is not None
    assert (
        shell.run("tasks", "ls", "--json", "--filter", "state=cancelled").objects[0]["msg_id"]
        == new["msg_id"]
    )


def test_resubmit_is_interrupted_before_all_are_begun(
    shell: Shell, cache: Cache, until: Callable[..., None]
) -> None:
    cache.root.ensure()
    old = in_child(lambda: Cache(cache.root.path).tasks.submit(time.sleep, 600).msg_id)
    with shell.start("tasks", "resubmit", *[old] * 500) as process:
        until(lambda: cache.tasks.count({"started": {"$ne": None}}) > 1, "one of them to run")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_resubmit_says_what_it_cannot_run(shell: Shell, tasks: Tasks) -> None:
    done = shell.run("tasks", "resubmit", "--json", "nope", "id-1")
    assert done.code == 3
    assert [each["error"]["code"] for each in done.errors] == ["no-such-task", "result-unavailable"]


def test_export_writes_tables(shell: Shell, tasks: Tasks, tmp_path: Path) -> None:
    done = shell.run("tasks", "export", "--filter", "state=failed")
    rows = list(csv.DictReader(done.out.decode().splitlines()))
    assert [row["msg_id"] for row in rows] == ids(0, 5)
    assert rows[0]["duration"] == "2.0"
    assert "buffers" not in rows[0]
    done = shell.run("tasks", "export", "-o", str(tmp_path / "all.parquet"), "--json")
    assert done.objects == [
        {"file": str(tmp_path / "all.parquet"), "format": "parquet", "tasks": 10}
    ]
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.column("msg_id").to_pylist() == ids(*range(10))
    assert table.column("submitted").to_pylist()[3] == tasks.get_record("id-3")["submitted"]
    done = shell.run("tasks", "export", "--parquet", "--keys", "label,buffers")
    sizes = pq.read_table(pa.BufferReader(done.out)).column("buffers").to_pylist()
    assert sizes == [100] * 10
    assert shell.run("tasks", "export", "-o", "-", "--keys", "label").lines[0] == "msg_id,label"
    done = shell.run("tasks", "export", "-o", str(tmp_path / "no" / "all.csv"))
    assert done.code == 3


def test_export_without_a_match_has_a_heading(shell: Shell, tasks: Tasks) -> None:
    done = shell.run("tasks", "export", "--filter", "label=none", "--keys", "label,buffers")
    assert done.lines == ["msg_id,label,buffers"]


def test_export_refuses_an_ending_that_says_no_format(
    shell: Shell, tasks: Tasks, tmp_path: Path
) -> None:
    done = shell.run("tasks", "export", "-o", str(tmp_path / "all.xlsx"))
    assert done.code == 2
    assert ".xlsx says no format: .csv and .parquet do" in done.err
    assert os.listdir(tmp_path) == [".cache"]
    for name, options in (("all.xlsx", ("--csv",)), ("v1.2/all", ()), ("all.CSV", ())):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        assert shell.run("tasks", "export", "-o", str(path), *options).code == 0
        assert path.read_text().startswith("msg_id,")


def test_parquet_is_not_written_to_a_terminal(shell: Shell, tasks: Tasks) -> None:
    reader, user = pty.openpty()
    try:
        done = subprocess.run(
            [PROGRAM, "tasks", "export", "--parquet"],
            stdout=user, stderr=subprocess.PIPE, env=shell.environ, cwd=shell.home, check=False,
        )  # fmt: skip
    finally:
        os.close(user)
        os.close(reader)
    assert done.returncode == 2
    assert b"not for a terminal" in done.stderr


def test_with_a_server_the_commands_go_to_it(shell: Shell, tmp_path: Path) -> None:
    with serving(tmp_path / "served") as server:
        environ = {"FSCACHE_SERVER": server.address, "FSCACHE_TOKEN": server.token()}
        now = datetime.now(UTC)
        with RemoteCache(server.address, token=server.token()) as remote:
            for number in range(3):
                completed = now if number else None
                record = {"submitted": now, "buffers": [b"x" * 10], "completed": completed}
                remote.tasks.add_record(f"id-{number}", record)
        done = shell.run("tasks", "ls", "--json", "--filter", "submitted<1h", **environ)
        assert {each["msg_id"] for each in done.objects} == set(ids(0, 1, 2))
        assert shell.run("tasks", "query", '{"completed": null}', **environ).lines == ids(0)
        (told,) = shell.run("tasks", "show", "id-1", "--json", **environ).objects
        assert told["buffers"] == [10]
        assert shell.run("tasks", "show", "nope", **environ).code == 3
        done = shell.run("tasks", "export", "--keys", "buffers", **environ)
        assert done.lines == ["msg_id,buffers", *(f"id-{number},10" for number in range(3))]
        (told,) = shell.run("tasks", "top", "--count", "1", "--json", **environ).objects
        assert (told["queued"], told["completed"]) == (1, 2)
        assert shell.run("tasks", "purge", "--query", "{}", **environ).out == b"2 tasks dropped\n"
        here = shell.run("tasks", "ls", "--json", "--root", str(tmp_path / "here"), **environ)
        assert (here.code, here.out) == (0, b"")


def test_top_without_a_terminal_writes_one_refresh_below_the_other(
    shell: Shell, tasks: Tasks
) -> None:
    tasks.update_record(
        "id-8", {"completed": datetime.now(UTC), "result_content": {"status": "error"}}
    )
    done = shell.run("tasks", "top", "--count", "2", "--interval", "0.1")
    assert done.code == 0
    assert done.out.decode().count("1 queued  0 running  9 completed") == 2
    assert "1 failed in the last minute" in done.out.decode()
    assert "\x1b" not in done.out.decode()
    (told,) = shell.run("tasks", "top", "--count", "1", "--json").objects
    assert (told["queued"], told["running"], told["completed"], told["failed"]) == (1, 0, 9, 1)
    assert told["tasks"][0]["msg_id"] == "id-8"


class Top:
    """`fscache tasks top` on a terminal of its own."""

    def __init__(self, shell: Shell) -> None:
        self.terminal, user = pty.openpty()
        termios.tcsetwinsize(user, (14, 60))
        self.before = termios.tcgetattr(user)
        self.user = user
        self.process = subprocess.Popen(
            [PROGRAM, "tasks", "top", "--interval", "0.1"],
            stdin=user, stdout=user, stderr=user, env=shell.environ | {"TERM": "xterm"},
            cwd=shell.home, start_new_session=True,
        )  # fmt: skip
        os.set_blocking(self.terminal, False)
        self._written = ""

    def written(self) -> str:
        try:
            while chunk := os.read(self.terminal, 65536):
                self._written += chunk.decode()
        except BlockingIOError:
            pass
        return self._written

    def frames(self) -> list[str]:
        return self.written().split("\x1b[H")[1:]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.user)
        os.close(self.terminal)


@pytest.fixture
def top(shell: Shell, tasks: Tasks) -> Iterator[Top]:
    made = Top(shell)
    yield made
    made.close()


def test_top_draws_in_place_and_gives_the_terminal_back(
    top: Top, tasks: Tasks, until: Callable[..., None]
) -> None:
    until(lambda: "1 queued  1 running  8 completed" in top.written(), "the first frame")
    tasks.update_record("id-9", {"engine_uuid": "e2", "started": datetime.now(UTC)})
    until(lambda: "0 queued  2 running  8 completed" in top.written(), "a frame with the change")
    for frame in top.frames()[:-1]:
        lines = frame.replace("\x1b[J", "").split("\r\n")
        assert len(lines) <= 14
        assert all(len(line.removesuffix("\x1b[K")) <= 60 for line in lines)
    os.write(top.terminal, b"q")
    assert top.process.wait(20) == 0
    assert top.written().startswith("\x1b[?1049h")
    assert top.written().endswith("\x1b[?1049l")
    assert termios.tcgetattr(top.user) == top.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_top_gives_the_terminal_back_when_a_signal_ends_it(
    top: Top, until: Callable[..., None], number: signal.Signals
) -> None:
    until(lambda: "queued" in top.written(), "the first frame")
    top.process.send_signal(number)
    assert top.process.wait(20) == -number
    assert top.written().endswith("\x1b[?25h\x1b[?1049l")
    assert termios.tcgetattr(top.user) == top.before


def test_top_gives_the_terminal_back_while_it_is_stopped(
    top: Top, until: Callable[..., None]
) -> None:
    until(lambda: "queued" in top.written(), "the first frame")
    for count in (1, 2):
        top.process.send_signal(signal.SIGTSTP)
        until(lambda count=count: top.written().count("\x1b[?1049l") == count, "the terminal back")
        top.process.send_signal(signal.SIGCONT)  # a shell's `fg`; nothing stops it in this session
        until(lambda count=count: top.written().count("\x1b[?1049h") == count + 1, "it goes on")
    os.write(top.terminal, b"q")
    assert top.process.wait(20) == 0
    assert termios.tcgetattr(top.user) == top.before


def test_top_is_interrupted_with_130_and_gives_the_terminal_back(
    top: Top, until: Callable[..., None]
) -> None:
    until(lambda: "queued" in top.written(), "the first frame")
    top.process.send_signal(signal.SIGINT)
    assert top.process.wait(20) == 130
    assert "\x1b[?25h\x1b[?1049l" in top.written()
    assert "Traceback" not in top.written()
    assert termios.tcgetattr(top.user) == top.before


# -- older stores -----------------------------------------------------------------------------


def tasks_db(path: Path) -> str:
    connection = sqlite3.connect(path)
    with connection:
        for number, table in enumerate(("ipython-tasks", "ipython-tasks_1")):
            connection.execute(
                f'CREATE TABLE "{table}" (msg_id text PRIMARY KEY, header dict text, '
                "buffers bufs blob, submitted timestamp, completed timestamp)"
            )
            for part in range(3):
                connection.execute(
                    f'INSERT INTO "{table}" VALUES (?, ?, ?, ?, ?)',
                    (f"old-{number}{part}", "{}", None, "2020-01-01T00:00:00+00:00", None),
                )
    connection.close()
    return str(path)


def test_migrate_brings_tasks_of_ipyparallel(shell: Shell, cache: Cache, tmp_path: Path) -> None:
    path = tasks_db(tmp_path / "tasks.db")
    plan = shell.run("admin", "migrate", path, "--dry-run", "--json")
    assert plan.objects == [{"tasks": 6, "tables": 2, "dry_run": True}]
    assert len(cache.tasks) == 0
    done = shell.run("admin", "migrate", path)
    assert (done.code, done.out) == (0, b"6 tasks of 2 tables\n")
    assert "is read as ipyparallel" in done.err
    assert cache.tasks.get_history() == [f"old-{n}{part}" for n in "01" for part in "012"]
    done = shell.run("admin", "migrate", path, "--json", "--remove-source")
    assert done.objects == [{"tasks": 6, "tables": 2, "again": 6, "passed": 0}]
    assert not os.path.exists(path)


def test_an_import_that_was_killed_goes_on(
    shell: Shell, cache: Cache, tmp_path: Path, until: Callable[..., None]
) -> None:
    path = tasks_db(tmp_path / "tasks.db")
    many = [(f"new-{number:05}", "{}", "2020-01-02T00:00:00+00:00") for number in range(20_000)]
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany(
            'INSERT INTO "ipython-tasks_1" (msg_id, header, submitted) VALUES (?, ?, ?)', many
        )
    connection.close()
    cache.tasks.add_record("first", {})  # so that there is a root to look into
    with shell.start("admin", "migrate", path) as process:
        until(lambda: len(cache.tasks) > 500, "the import to be under way")
        process.kill()
        process.wait()
    assert len(cache.tasks) < 20_000, "it was over before it was killed: make it longer"
    done = shell.run("admin", "migrate", path, "--json")
    assert done.code == 0
    assert done.objects[0]["tasks"] == 20_006
    assert 500 <= done.objects[0]["again"] < 20_000
    assert len(cache.tasks) == 20_007


def test_a_file_with_records_that_cannot_be_read_stays(
    shell: Shell, cache: Cache, tmp_path: Path
) -> None:
    path = tasks_db(tmp_path / "tasks.db")
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE \"ipython-tasks\" SET header = '{' WHERE msg_id = 'old-01'")
    connection.close()
    done = shell.run("admin", "migrate", path, "--remove-source")
    assert done.code == 1
    assert "task old-01" in done.err
    assert os.path.exists(path)
    assert len(cache.tasks) == 5


def test_migrate_brings_keys_of_a_metastore(shell: Shell, cache: Cache, tmp_path: Path) -> None:
    other = Cache(str(tmp_path / "other"))
    other.kv.multiput({"run/1": "bar", "run/2": b"\0"})
    path = str(tmp_path / "old.sdb")
    metastore.export_file(other.kv, path)
    assert shell.run("admin", "migrate", path, "--dry-run").code == 0
    assert cache.kv.keys() == []
    done = shell.run("admin", "migrate", path, "--json")
    assert done.objects == [{"keys": 2}]
    assert dict(cache.kv.items()) == {"run/1": "bar", "run/2": b"\0"}
    done = shell.run("admin", "migrate", path, "--remove-source")
    assert (done.code, os.path.exists(path)) == (0, False)
    assert shell.run("admin", "migrate", "--from", "metastore", str(tmp_path / "none")).code != 0
