from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.grid.copying import select

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> str:
    for name in (
        "Isd/foo.txt",
        "Isd/a/b/foo.txt",
        "Isd/a/bar.txt",
        "data/x.txt",
        "top.txt",
        "Isd/cns/foo.txt",
        "Isd/.svn/foo.txt",
        "Isd/with space.txt",
        "Isd/FOO.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["Isd/foo.txt"], ["Isd/a/b/foo.txt", "Isd/foo.txt"]),
        (["data/*.txt"], ["data/x.txt"]),
        (["Isd/a/*"], ["Isd/a/b/foo.txt", "Isd/a/bar.txt"]),
        (["top.*"], ["top.txt"]),  # an empty folder is the root directory, and all below it
        (["data/*", "data/x.txt"], ["data/x.txt"]),
        (["Isd/with*"], ["Isd/with space.txt"]),
        (["data/nothing"], []),
    ],
)
def test_files_are_chosen_by_folder_and_basename(
    tree: str, patterns: list[str], found: list[str]
) -> None:
    assert select(tree, patterns) == found


def test_what_contains_an_excluded_text_anywhere_in_its_path_is_left_out(tree: str) -> None:
    assert "Isd/cns/foo.txt" in select(tree, ["Isd/*"], exclude=())
    assert "Isd/cns/foo.txt" not in select(tree, ["Isd/*"])
    assert select(tree, ["Isd/*"], exclude=[os.path.join(tree, "Isd")]) == []


def test_a_folder_that_is_not_there_is_said(tree: str) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        select(tree, ["nowhere/*"])
