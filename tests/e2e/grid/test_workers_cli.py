"""`fscache workers …` and `fscache tables …`, as they are run: in processes of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tests.support.commands import PROGRAM, Shell
from tests.support.gridwork import is_running, make_source, until

if TYPE_CHECKING:
    from pathlib import Path


def status(shell: Shell, name: str = "w1") -> list[dict[str, Any]]:
    return shell.run("--json", "workers", "status", name).objects


def test_init_refuses_to_lock_everybody_out(shell: Shell) -> None:
    again = shell.run("workers", "init")
    assert again.code != 0
    assert "certificates already" in again.err


def test_a_worker_lives_through_its_life(shell: Shell) -> None:
    started = shell.run("--json", "workers", "start", "--name", "w1", "--threads", "1")
    assert started.code == 0, started.err
    first = started.objects[0]["pid"]
    until(lambda: status(shell)[0]["state"] == "working", "the worker to join")
    assert shell.run("workers", "status", "w1").code == 0

    again = shell.run("workers", "start", "--name", "w1")
    assert "runs already" in again.err

    os.kill(first, 9)  # it is started again
    until(lambda: status(shell)[0]["pid"] not in (0, first), "another process")
    until(lambda: status(shell)[0]["state"] == "working", "the worker to come back")
    second = status(shell)[0]["pid"]

    assert shell.run("--json", "workers", "restart", "w1").objects[0]["pid"] != second
    until(lambda: status(shell)[0]["state"] == "working", "the worker to come back")
    keeper, third = status(shell)[0]["keeper"], status(shell)[0]["pid"]
    assert "is there" in shell.run("workers", "logs").out.decode()

    assert shell.run("workers", "stop", "w1").code == 0
    assert not is_running(keeper)
    assert not is_running(third)
    stopped = shell.run("--json", "workers", "status", "w1")
    assert stopped.objects[0]["state"] == "stopped"
    assert stopped.code == 0  # nobody misses it
    assert shell.run("workers", "restart").out == b""
    assert status(shell)[0]["state"] == "stopped"


def test_what_is_known_of_a_worker_can_be_forgotten(shell: Shell) -> None:
    for name in ("f1", "f2"):
        assert shell.run("workers", "start", "--name", name, "--threads", "1").code == 0
    assert shell.run("workers", "stop", "f1").code == 0
    ran = shell.run("--json", "workers", "stop", "--forget", "f1", "f2")
    assert [each["state"] for each in ran.objects] == ["did not run", "stopped"]
    for name in ("f1", "f2"):
        assert f"no worker {name}" in shell.run("workers", "status", name).err


def test_a_killed_keeper_takes_its_worker_along_and_is_not_taken_for_alive(shell: Shell) -> None:
    shell.run("workers", "start", "--name", "w2", "--threads", "1")
    state = shell.run("--json", "workers", "status", "w2").objects[0]
    os.kill(state["keeper"], 9)
    until(lambda: not is_running(state["pid"]), "the worker to end")
    dead = shell.run("--json", "workers", "status", "w2")
    assert dead.objects[0]["state"] == "dead"
    assert dead.code == 1
    assert shell.run("workers", "start", "--name", "w2").code == 0  # nothing stale is in the way
    assert shell.run("workers", "stop", "w2").code == 0


def test_a_worker_that_was_never_started_is_said(shell: Shell) -> None:
    for word in ("stop", "restart", "logs", "status"):
        ran = shell.run("workers", word, "mars")
        assert ran.code != 0
        assert "no worker mars" in ran.err


def test_no_head_is_a_usage_error(place: Path) -> None:
    ran = Shell(str(place)).run("workers", "start")
    assert ran.code == 2
    assert "FSCACHE_GRID" in ran.err


def test_orders_that_no_worker_could_follow_are_refused(shell: Shell) -> None:
    for words in (["--head", "http://head:1"], ["--head", "a b"], ["--threads", "-1"]):
        ran = shell.run("workers", "start", "--name", "never", *words)
        assert ran.code == 2, ran.err
        assert words[1] in ran.err
    ran = shell.run("workers", "start", "--name", "never", "--head", "tcp://127.0.0.1:8786")
    assert ran.code == 7, ran.err
    assert "no worker never" in shell.run("workers", "status", "never").err


def test_a_worker_without_certificates_is_not_begun(shell: Shell, tmp_path: Path) -> None:
    ran = shell.run("workers", "start", "--name", "never", "--tls", str(tmp_path))
    assert ran.code == 7
    assert "workers init" in ran.err
    assert "no worker never" in shell.run("workers", "status", "never").err


def test_what_a_head_or_the_log_cannot_be_is_said(shell: Shell) -> None:
    taken = shell.environ["FSCACHE_GRID"].rpartition(":")[2]
    head = shell.run("workers", "head", "--host", "127.0.0.1", "--port", taken)
    assert head.code != 0
    assert f"fscache: error: grid: 127.0.0.1:{taken}: " in head.err
    assert "Address already in use" in head.err
    for words in (["head", "--port", "99999"], ["head", "--port", "-1"], ["logs", "-n", "-5"]):
        ran = shell.run("workers", *words)
        assert ran.code == 2, ran.err
        assert words[-1] in ran.err


def test_other_hosts_are_told_the_very_words(shell: Shell, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"  # as sshd does: the words become one line for a shell
    ssh.write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift\n[ "$1" = n1 ] || exit 255\n'
        'shift\nexec sh -c "$*"\n'
    )
    ssh.chmod(0o755)
    before = shell.environ["PATH"]
    shell.environ["PATH"] = f"{tmp_path}:{os.path.dirname(PROGRAM)}:{before}"
    try:
        ran = shell.run("workers", "status", "--on", "n1", "my worker; touch here")
        assert "no worker my worker; touch here was started" in ran.err
        assert ran.code == 1
        assert shell.run("workers", "status", "--on", "n2,n1").code == 255
    finally:
        shell.environ["PATH"] = before


def test_the_head_needs_neither_scheme_nor_to_answer(shell: Shell) -> None:
    bare = shell.environ["FSCACHE_GRID"].removeprefix("tls://")
    begun = shell.run("workers", "start", "--name", "w4", "--threads", "1", "--head", bare)
    assert begun.code == 0, begun.err
    until(lambda: status(shell, "w4")[0]["state"] == "working", "the worker to join")
    assert status(shell, "w4")[0]["head"] == shell.environ["FSCACHE_GRID"]
    assert shell.run("tables", "ls", "--head", bare).code == 0
    started = shell.run("workers", "start", "--name", "lost", "--head", "nonsense.invalid")
    assert started.code == 0, started.err
    both = shell.run("--json", "workers", "status", "lost", "w4")
    assert [each["state"] for each in both.objects] == ["alone", "working"]
    assert both.code == 1
    assert shell.run("workers", "stop", "lost", "w4").code == 0


def test_tables_from_the_command_line(shell: Shell, place: Path) -> None:
    make_source(str(place / "source"))
    assert shell.run("workers", "start", "--name", "w3", "--threads", "1").code == 0
    until(lambda: status(shell, "w3")[0]["state"] == "working", "the worker to join")
    made = shell.run(
        "--json",
        "tables",
        "deploy",
        str(place / "source"),
        "sky",
        "--partition-by",
        "x",
        "--shards",
        "4",
    )
    assert made.code == 0, made.err
    assert made.objects[0]["rows"] == 4000
    assert [each["name"] for each in shell.run("--json", "tables", "ls").objects] == ["sky"]
    assert "sky" in shell.run("tables", "ls").out.decode()
    shown = shell.run("--json", "tables", "show", "sky").objects[0]
    assert len(shown["shards"]) == 4
    words = ("tables", "deploy", str(place / "source"), "two", "--columns", "word,id")
    assert shell.run("--json", *words).objects[0]["columns"] == {"word": "string", "id": "int64"}
    assert shell.run("tables", "drop", "two").code == 0
    assert shown["columns"]["word"] == "string"
    assert "SHARD" in shell.run("tables", "show", "sky").out.decode()
    assert shell.run("tables", "verify", "sky").code == 0
    lost = shown["shards"][0]["address"]
    os.unlink(place / "root/objects" / lost[:4] / lost[4:8] / lost[8:])
    bad = shell.run("--json", "tables", "verify", "sky")
    assert bad.code == 5
    assert bad.objects[0]["why"] == "missing"
    assert shell.run("tables", "drop", "sky").code == 0
    assert shell.run("tables", "show", "sky").code == 3
    assert shell.run("workers", "stop").code == 0
