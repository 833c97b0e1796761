from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache import Cache
from fscache.errors import GridError
from fscache.grid.copying import Copies, File, select
from fscache.grid.hosts import chosen

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
        ("data/*", ["data/x.txt"]),  # one item, and not its letters
    ],
)
def test_files_are_chosen_by_folder_and_basename(
    tree: str, patterns: list[str] | str, found: list[str]
) -> None:
    assert select(tree, patterns) == found


def test_what_contains_an_excluded_text_anywhere_in_its_path_is_left_out(tree: str) -> None:
    assert "Isd/cns/foo.txt" in select(tree, ["Isd/*"], exclude=())
    assert "Isd/cns/foo.txt" not in select(tree, ["Isd/*"])
    assert select(tree, ["Isd/*"], exclude=[os.path.join(tree, "Isd")]) == []


def test_a_folder_that_is_not_there_is_said(tree: str) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        select(tree, ["nowhere/*"])


@pytest.mark.parametrize("item", ["../*", "Isd/../../*.txt", "/etc/*", ".."])
def test_an_item_that_leads_out_is_refused(tree: str, item: str) -> None:
    with pytest.raises(ValueError, match="below rootdir"):
        select(f"{tree}/Isd", [item])


def test_a_text_to_exclude_is_one_and_not_its_letters(tree: str) -> None:
    assert select(tree, "Isd/*", exclude="cns") == select(tree, "Isd/*", exclude=["cns"])


class Here:
    """What a node holds: nothing but the objects of a cache."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def has(self, addresses: list[str]) -> list[bool]:
        return [True] * len(addresses)

    def path(self, address: str) -> str:
        return self.cache.path(address)


def received(tmp_path: Path, temp: Path, *, own: bool) -> tuple[Copies, list[File]]:
    cache = Cache(str(tmp_path / "root"))
    files = [File("a/x", cache.put(b"x"), executable=False)]
    return Copies(Here(cache), str(temp), own=own), files  # type: ignore[arg-type]


def test_the_own_directory_is_made_for_the_user_alone(tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    copies, files = received(tmp_path, temp, own=True)
    copies.place(copies.needs(files)["wanted"])
    assert (temp / "a/x").read_text() == "x"
    assert temp.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_may_write_is_not_used_as_the_own(tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    temp.chmod(0o777)
    copies, files = received(tmp_path, temp, own=True)
    with pytest.raises(GridError, match="written by others"):
        copies.place(files)
    assert list(temp.iterdir()) == []
    (tmp_path / "link").symlink_to(temp)
    copies, files = received(tmp_path, tmp_path / "link", own=True)
    with pytest.raises(GridError, match="somebody else's"):
        copies.needs(files)
    copies, files = received(tmp_path, temp, own=False)  # somebody has named it: it is his to know
    copies.place(files)
    assert (temp / "a/x").read_text() == "x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_directory_of_another_user_is_not_used_as_the_own(tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    os.chown(temp, 12345, -1)
    copies, files = received(tmp_path, temp, own=True)
    with pytest.raises(GridError, match="somebody else's"):
        copies.needs(files)


def test_names_that_are_nobodys_are_said() -> None:
    with pytest.raises(GridError, match="mars; there are none"):
        chosen([], "mars")
