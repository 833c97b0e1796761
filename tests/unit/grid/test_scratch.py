from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from fscache.grid.scratch import PREFIX, Scratch

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from fscache.grid.scratch import Scratch
scratch = Scratch()
open(f"{scratch.path}/file", "w").close()
print(scratch.path, flush=True)
sys.stdin.read()
"""
FORK = """
import os
from fscache.grid.scratch import Scratch
scratch = Scratch()
if child := os.fork():
    os.waitpid(child, 0)
    print(os.path.isdir(scratch.path))
"""
RACE = """
import os
from fscache.grid.scratch import Scratch
for _ in range(200):
    with Scratch() as path:
        open(f"{path}/file", "x").close()
        assert os.listdir(path) == ["file"]
"""


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's directory for temporary files, of this process and of its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_it_is_there_and_then_not(temp: Path) -> None:
    with Scratch() as path:
        (temp / path / "file").write_bytes(b"")
        assert os.stat(path).st_mode & 0o777 == 0o700
    assert os.listdir(temp) == []


def test_one_that_was_forgotten_goes_with_its_owner(temp: Path) -> None:
    scratch = Scratch()
    assert os.listdir(temp) == [os.path.basename(scratch.path)]
    del scratch
    gc.collect()
    assert os.listdir(temp) == []


def test_what_the_killed_left_is_removed_and_what_the_living_have_is_not(temp: Path) -> None:
    holders = [start(HOLD) for _ in range(2)]
    paths = [holder.stdout.readline().strip() for holder in holders if holder.stdout]
    dead, living = holders
    dead.kill()
    dead.communicate()
    assert all(map(os.path.isdir, paths))
    with Scratch() as own:
        assert {str(path) for path in temp.iterdir()} == {own, paths[1]}
        assert os.listdir(paths[1]) == ["file"]
    living.communicate("")
    assert living.returncode == 0
    assert os.listdir(temp) == []


def test_what_only_has_such_a_name_stays(
    temp: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").write_bytes(b"")
    (temp / f"{PREFIX}link").symlink_to(elsewhere)
    (temp / f"{PREFIX}file").write_bytes(b"")
    (temp / "fscache-grid-0").mkdir()
    before = sorted(os.listdir(temp))
    with Scratch():
        pass
    assert sorted(os.listdir(temp)) == before
    assert os.listdir(elsewhere) == ["file"]


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to make another user's")
def test_another_users_stays(temp: Path) -> None:
    theirs = temp / f"{PREFIX}theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    with Scratch():
        assert theirs.is_dir()


def test_a_forked_child_that_ends_takes_nothing_along() -> None:
    said, _ = start(FORK).communicate()
    assert said == "True\n"


def test_none_is_taken_for_abandoned_while_it_is_made(temp: Path) -> None:
    racers = [start(RACE) for _ in range(4)]
    for racer in racers:
        racer.communicate()
    assert [racer.returncode for racer in racers] == [0] * 4
    assert os.listdir(temp) == []
