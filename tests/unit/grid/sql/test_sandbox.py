"""What databases leave in the temporary directory: nothing for long; what the living have stays."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fscache.grid.scratch import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLAN = """
from fscache.grid.sql.sandbox import Setting, connect
connect(Setting(threads=1)).sql("SELECT 1").fetchall()
"""
ASK = """
from fscache.grid.sql.sandbox import Setting, connect
connect(Setting(threads=1, memory=64 << 20)).sql("SELECT 1").fetchall()
"""
# Both rows that do not fit into memory and a reader who takes his time.
SPILL = """
import sys
from fscache.grid.sql.sandbox import Setting, connect
connection = connect(Setting(threads=1, memory=64 << 20))
reader = connection.sql(
    "SELECT range AS i, hash(range) AS h, repeat('x', 50) FROM range(2000000) ORDER BY h"
).to_arrow_reader(10_000)
first = reader.read_next_batch()
print("spilled", flush=True)
sys.stdin.read()
print(sum(batch.num_rows for batch in reader) + first.num_rows)
"""


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    made = tmp_path / "temp"
    made.mkdir()
    return made


@pytest.fixture
def start(temp: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a program that has `temp` as the system's directory for temporary files."""
    begun = []

    def started(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temp)},
        )
        begun.append(process)
        return process

    yield started
    for process in begun:
        process.kill()
        process.communicate()


def test_what_a_killed_process_spilled_is_removed_and_what_a_living_one_did_is_not(
    temp: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    spilling = [start(SPILL) for _ in range(2)]
    for process in spilling:
        assert process.stdout is not None
        assert process.stdout.readline() == "spilled\n"
    assert all(any(made.glob("*/duckdb*")) for made in temp.iterdir())
    dead, living = spilling
    dead.kill()
    dead.communicate()
    assert len(os.listdir(temp)) == 2
    for _ in range(2):
        assert start(ASK).communicate() == ("", "")
    (left,) = temp.iterdir()
    assert left.name.startswith(PREFIX)
    assert any(left.glob("*/duckdb*"))
    assert living.communicate("") == ("2000000\n", "")
    assert os.listdir(temp) == []


def test_what_only_plans_makes_nothing_and_sweeps_nothing(
    temp: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    (temp / f"{PREFIX}abandoned").mkdir()
    assert start(PLAN).communicate() == ("", "")
    assert os.listdir(temp) == [f"{PREFIX}abandoned"]


def test_a_query_that_needs_no_disk_is_answered_without(
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    gone = "import tempfile; tempfile.tempdir = '/nosuch'\n"
    assert start(gone + ASK).communicate() == ("", "")
