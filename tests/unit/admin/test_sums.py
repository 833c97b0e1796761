"""Promises of fscache.admin.sums: what is added up is what `du` finds, without the walk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.admin.sums import measure
from fscache.kv.local import LocalStore
from fscache.objects.layout import Split
from fscache.records.root import Root
from tests.support.catalogs import keep, keeper_of, open_root
from tests.support.mounts import with_tmpfs

if TYPE_CHECKING:
    from pathlib import Path


def blocks(top: str, *, directories: bool) -> int:
    """Return the bytes of the blocks of all files, or of all directories, below a directory."""
    total = 0
    for directory, names, files in os.walk(top):
        for name in names if directories else files:
            total += os.lstat(os.path.join(directory, name)).st_blocks * 512
    return total


def fill(root: Root) -> None:
    for number in range(300):
        keep(root, b"%d" % number * (number * 5), f"https://host{number % 3}/{number}")
    store = LocalStore(root)
    store.put("small", "x")
    store.put("middle", bytes(50_000))
    store.put("large", bytes(100_000))
    with open(f"{root.path}/partial/half", "wb") as file:
        file.write(bytes(20_000))
    os.mkdir(f"{root.path}/quarantine/odd")
    with open(f"{root.path}/quarantine/odd/bad", "wb") as file:
        file.write(bytes(9000))
    with open(f"{root.path}/tasks/segment", "wb") as file:
        file.write(bytes(30_000))


@pytest.mark.parametrize("split", ["4+4+12", "2+18"])
def test_every_part_is_what_its_files_take(tmp_path: Path, split: str) -> None:
    root = Root(str(tmp_path / "cache"), now=lambda: 1e9, object_split=Split.parse(split))
    root.ensure()
    fill(root)
    keeper = keeper_of(root)
    keeper.open().close()
    sums, disk = measure(keeper)
    path = root.path
    assert disk.objects == sums.objects.disk == blocks(f"{path}/objects", directories=False)
    there = blocks(f"{path}/objects", directories=True)
    assert disk.directories == pytest.approx(there, rel=0.1)
    entries = blocks(f"{path}/urls", directories=False) + blocks(f"{path}/kv", directories=False)
    assert disk.entries == entries
    for part in ("partial", "quarantine", "tasks"):
        assert getattr(disk, part) == blocks(f"{path}/{part}", directories=False) > 0
    journal = blocks(f"{path}/journal", directories=False)
    assert disk.derived == os.stat(f"{path}/catalog.sqlite").st_blocks * 512 + journal
    # What is left are the 256 directories of each kind of entries, and a few files of some bytes.
    whole = blocks(path, directories=False) + there
    assert disk.total == pytest.approx(whole, rel=0.02)
    kinds = {kind: (each.count, each.size) for kind, each in sums.kinds.items()}
    assert kinds["kv"] == (3, 150_000 + 1)
    assert kinds["url"][0] == 300


@pytest.mark.usefixtures("mounts")
def test_directories_that_take_no_blocks_are_not_counted(tmp_path: Path) -> None:
    disk = str(tmp_path / "disk")
    os.mkdir(disk)

    def run() -> tuple[int, int]:
        root = open_root(f"{disk}/cache")
        keep(root, b"x" * 5000)
        _sums, found = measure(keeper_of(root))
        return found.directories, found.objects

    assert with_tmpfs(disk, "size=4m", run) == (0, 8192)


def test_an_empty_root_takes_next_to_nothing(root: Root) -> None:
    sums, disk = measure(keeper_of(root))
    assert sums.total.count == sums.entries == 0
    assert disk.objects == disk.directories == disk.entries == disk.tasks == 0
