"""What a program that was killed leaves behind, and who removes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.gridwork import is_running, until

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
from fscache import Cache
from fscache.grid import Grid
with Grid(workers=1, cache=Cache(sys.argv[1])) as grid:
    print(grid.workers()[0].pid, flush=True)
    sys.stdin.read()
"""


def start(top: Path) -> tuple[subprocess.Popen[str], int]:
    """A program with a grid, and its worker."""
    made = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(top / "root")],
        env={**os.environ, "TMPDIR": str(top / "temp")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert made.stdout is not None
    return made, int(made.stdout.readline())


def ours(temp: Path) -> set[str]:
    """What is there of us; the engine leaves an empty directory for the next."""
    return {name for name in os.listdir(temp) if name.startswith("fscache-")}


def test_what_killed_programs_and_workers_leave_is_gone_after_the_next_start(
    tmp_path: Path,
) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    killed, worker = start(tmp_path)
    os.kill(worker, signal.SIGSTOP)  # or it would end in order when its program does
    killed.kill()
    killed.communicate()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not is_running(worker), "the worker to end")
    left = ours(temp)
    following, _worker = start(tmp_path)
    there = ours(temp)
    following.communicate("")
    assert len(left) == len(there) == 2  # of the program, and of its worker
    assert not left & there
    assert not ours(temp)
