"""Promises of fscache.fs.helper: results in order, nobody waits for it, and it never stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fscache.fs import helper
from fscache.fs.helper import Helper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PARENT = """if True:
    import sys
    from fscache.fs.helper import Helper
    made = Helper("operator", "methodcaller", "upper")
    print(made._process.pid, flush=True)
    sys.stdin.read()
"""


FORKING = """
    import os, signal
    child = os.fork()
    if child == 0:
        signal.pause()
    print(child, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def upper() -> Iterator[Helper]:
    made = Helper("operator", "methodcaller", "upper")
    yield made
    made.close()


def all_of(made: Helper, count: int, until: Callable[..., None]) -> list[object]:
    found: list[object] = []

    def enough() -> bool:
        found.extend(made.results())
        return len(found) >= count

    until(enough)
    return found


def check_one(until: Callable[..., None]) -> None:
    """Start one, and have it do a piece."""
    made = Helper("operator", "methodcaller", "upper")
    try:
        made.give("x")
        assert all_of(made, 1, until) == ["X"]
    finally:
        made.close()


def test_results_come_in_the_order_of_the_pieces(upper: Helper, until: Callable[..., None]) -> None:
    pieces = [f"piece {number} {'x' * number * 100}" for number in range(100)]
    for piece in pieces:
        upper.give(piece)
    assert all_of(upper, len(pieces), until) == [piece.upper() for piece in pieces]
    assert upper.results() == []


def test_nobody_waits_for_one_that_is_stopped(upper: Helper) -> None:
    upper._process.send_signal(signal.SIGSTOP)
    upper.give("x")
    assert upper.results() == []
    for _ in range(5):  # more than the pipe takes
        upper.give("x" * helper._PIPE)
    assert upper.results() == []
    assert upper._process.wait(20) == -signal.SIGKILL  # nothing more is expected of it


def test_a_dead_one_gives_nothing(upper: Helper) -> None:
    upper._process.kill()
    upper._process.wait()
    upper.give("x")
    assert upper.results() == []


def test_what_fails_there_gives_nothing_and_says_nothing(
    upper: Helper, capfd: pytest.CaptureFixture[str]
) -> None:
    upper.give("good")
    upper.give(1)
    assert upper._process.wait(20) != 0
    assert upper.results() == ["GOOD"]
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_is_not_for_it(upper: Helper, until: Callable[..., None]) -> None:
    upper.give("a")
    assert all_of(upper, 1, until) == ["A"]
    upper._process.send_signal(signal.SIGINT)
    upper.give("b")
    assert all_of(upper, 1, until) == ["B"]


def test_it_sees_our_modules_and_no_more_of_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    (tmp_path / "marshal.py").write_text("raise SystemExit\n")
    (tmp_path / "operator.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check_one(until)


def test_one_can_wait_until_it_has_done_its_pieces(upper: Helper) -> None:
    upper.settle(0)  # nothing given: nothing to wait for
    for _ in range(3):
        upper.give("x" * 100_000)
    upper.settle(60)
    assert upper._owing == 0
    assert upper.results() == []


def test_nobody_waits_for_long_for_one_that_does_not_answer(upper: Helper) -> None:
    upper._process.send_signal(signal.SIGSTOP)
    upper.give("x")
    upper.settle(0.01)
    assert upper._owing == 1
    upper._process.kill()
    upper.settle(3600)  # dead: over at once


def test_one_that_is_gone_is_noticed_when_results_are_looked_for(
    upper: Helper, until: Callable[..., None]
) -> None:
    upper.give("x")
    assert all_of(upper, 1, until) == ["X"]
    assert upper.is_alive
    upper._process.kill()
    upper._process.wait()
    assert upper.results() == []
    assert not upper.is_alive


def test_what_it_cannot_be_told_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(ValueError, match="unmarshallable"):
        Helper("operator", "methodcaller", object())


def test_what_is_no_text_in_the_path_is_left_out(
    monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, object()])
    check_one(until)


def test_a_forked_child_does_not_keep_it_alive(until: Callable[..., None]) -> None:
    program = PARENT.replace("sys.stdin.read()", FORKING)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid, child = int(parent.stdout.readline()), int(parent.stdout.readline())
        parent.kill()
        until(lambda: is_over(pid), "the helper's end")
        assert not is_over(child)
        os.kill(child, signal.SIGKILL)


def test_it_ends_with_its_parent(until: Callable[..., None]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not is_over(pid)
        parent.kill()
    until(lambda: is_over(pid), "the helper's end")


def is_over(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return (
                file.read().rpartition(")")[2].split()[0] == "Z"
            )  # nobody may be there to reap it
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(
    ("executable", "processors", "expected"),
    [
        ("/usr/bin/python3.11", 2, 1),
        ("/usr/bin/python3.11", 32, 31),
        ("/usr/bin/python3.11", 1, 0),
        ("/opt/simulation/bin/simulate", 2, 0),
        ("", 2, 0),
    ],
)
def test_it_is_for_who_has_an_interpreter_and_two_processors(
    monkeypatch: pytest.MonkeyPatch, executable: str, processors: int, expected: int
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(processors)))
    assert helper.spare() == expected
