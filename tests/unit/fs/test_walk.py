"""Promises of fscache.fs.walk."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from fscache.fs.walk import branches, files, pieces, remove_empty
from tests.support.processes import ALICE, in_child

if TYPE_CHECKING:
    from pathlib import Path


def paths(top: str | Path) -> list[str]:
    return sorted(os.path.relpath(entry.path, top) for entry in files(str(top)))


def test_every_file_of_the_tree_is_found_once_whatever_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("top", "a/one", "a/b/two"):
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "a" / "pipe")
    assert paths(tmp_path) == ["a/b/two", "a/one", "a/pipe", "top"]


def test_links_are_listed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "to directory").symlink_to(tmp_path)
    (tmp_path / "tree" / "to nowhere").symlink_to(tmp_path / "nowhere")
    assert paths(tmp_path / "tree") == ["to directory", "to nowhere"]


def test_a_tree_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert paths(tmp_path / "nowhere") == []


def test_directories_that_vanish_under_way_are_passed_over(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"")
    walk = files(str(tmp_path))
    first = next(walk)
    for name in "abc":
        if not first.path.startswith(str(tmp_path / name)):
            shutil.rmtree(tmp_path / name)
    assert list(walk) == []


def test_a_walk_that_is_given_up_leaves_no_directory_open(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"")
    before = len(os.listdir("/proc/self/fd"))
    walk = files(str(tmp_path))
    next(walk)
    walk.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("users")
def test_a_directory_that_may_not_be_read_is_an_error_and_not_an_empty_one(open_tmp: str) -> None:
    os.mkdir(f"{open_tmp}/closed", 0o700)
    with pytest.raises(PermissionError):
        in_child(paths, open_tmp, uid=ALICE)


def test_branches_are_what_files_yields_in_parts(tmp_path: Path) -> None:
    for name in ("a/1", "a/b/2", "c/3", "4", "5"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    parts = [sorted(entry.name for entry in part) for part in branches(str(tmp_path))]
    assert sorted(parts) == [["1", "2"], ["3"], ["4", "5"]]
    assert list(branches(str(tmp_path / "nowhere"))) == []


def test_empty_directories_are_removed_up_to_the_top(tmp_path: Path) -> None:
    (tmp_path / "top/a/b/c").mkdir(parents=True)
    (tmp_path / "top/a/file").write_bytes(b"")
    remove_empty(str(tmp_path / "top/a/b/c"), str(tmp_path / "top"))
    assert sorted(os.listdir(tmp_path / "top/a")) == ["file"]
    (tmp_path / "top/a/file").unlink()
    remove_empty(str(tmp_path / "top/a"), str(tmp_path / "top"))
    assert os.listdir(tmp_path / "top") == []
    remove_empty(str(tmp_path / "top"), str(tmp_path / "top"))
    assert (tmp_path / "top").is_dir()


def test_pieces_are_of_so_many_files(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}").mkdir()
        for file in range(3):
            (tmp_path / f"{number}" / f"{file}").touch()
    found = [
        [str(number) for number in range(start, min(start + 2, 10))] for start in (0, 2, 4, 6, 8)
    ]
    assert pieces(str(tmp_path), 7) == found
    assert pieces(str(tmp_path), 1) == [[str(number)] for number in range(10)]
    assert pieces(str(tmp_path / "0"), 100) == [["0", "1", "2"]]  # files
    assert pieces(str(tmp_path / "nowhere"), 7) == []
    (tmp_path / "empty").mkdir()
    assert pieces(str(tmp_path / "empty"), 7) == []
