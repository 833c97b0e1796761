from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fscache.errors import GridError
from tests.support.gridwork import grid

if TYPE_CHECKING:
    from fscache.grid import Grid


@pytest.fixture
def tree(two: Grid, tmp_path: Path) -> Path:
    """Files to be copied to workers that have none of them."""
    for worker in two.workers():
        shutil.rmtree(worker.temp, ignore_errors=True)  # it may not be there yet
    for name in ("Isd/foo.txt", "Isd/a b/fo$o.txt", "data/run.sh", "Isd/cns/no.txt"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    os.chmod(tmp_path / "tree/data/run.sh", 0o755)
    return tmp_path / "tree"


def test_files_come_to_every_host_in_their_directories(two: Grid, tree: Path) -> None:
    report = two.copy_files(str(tree), ["Isd/*.txt", "data/*"])
    assert sorted(status.path for status in report) == sorted(w.temp for w in two.workers())
    for status in report:
        assert status.error == ""
        assert status.copied == ["Isd/a b/fo$o.txt", "Isd/foo.txt", "data/run.sh"]
        for name in status.copied:
            assert Path(status.path, name).read_text() == name
        assert os.access(f"{status.path}/data/run.sh", os.X_OK)
        assert not Path(status.path, "Isd/cns").exists()


def test_what_is_there_with_the_same_bytes_stays_and_what_differs_is_replaced(
    two: Grid, tree: Path
) -> None:
    two.copy_files(str(tree), ["Isd/*.txt"])
    there = Path(two.workers()[0].temp, "Isd/foo.txt")
    before = there.stat().st_mtime_ns
    first, second = two.copy_files(str(tree), ["Isd/*.txt"])
    assert first.copied == second.copied == []
    assert first.unchanged == ["Isd/a b/fo$o.txt", "Isd/foo.txt"]
    assert there.stat().st_mtime_ns == before
    there.write_text("isd/foo.txt")  # as long as before
    (tree / "Isd/foo.txt").write_text("new")
    for status in two.copy_files(str(tree), ["Isd/*.txt"]):
        assert status.copied == ["Isd/foo.txt"]
        assert Path(status.path, "Isd/foo.txt").read_text() == "new"


def test_hosts_can_be_chosen_and_exclusions_given(two: Grid, tree: Path) -> None:
    (tree / "only").mkdir()
    (tree / "only/one.txt").write_text("1")
    (tree / "only/not.txt").write_text("2")
    name = two.workers()[1].name
    report = two.copy_files(str(tree), ["only/*"], hosts=[name], exclude=["not"])
    assert [(status.path, status.copied) for status in report] == [
        (two.workers()[1].temp, ["only/one.txt"])
    ]
    assert not Path(two.workers()[0].temp, "only").exists()
    assert len(two.copy_files(str(tree), "only/*", hosts=name)) == 1  # texts, too, and not letters
    with pytest.raises(GridError, match="nohost"):
        two.copy_files(str(tree), ["only/*"], hosts=[name, "nohost"])


def test_a_host_where_it_fails_says_so_and_the_others_go_on(two: Grid, tree: Path) -> None:
    (tree / "clash").mkdir()
    (tree / "clash/x.txt").write_text("x")
    Path(two.workers()[0].temp).mkdir(exist_ok=True)
    Path(two.workers()[0].temp, "clash").write_text("a file where a directory should be")
    bad, good = two.copy_files(str(tree), ["clash/*"])
    assert "clash" in bad.error
    assert good.copied == ["clash/x.txt"]
    assert good.error == ""


def test_hosts_that_share_a_directory_get_one_copy(tmp_path: Path, tree: Path) -> None:
    shared = tmp_path / "shared"
    with grid(str(tmp_path), 2, shared_temp_path=str(shared)) as made:
        report = made.copy_files(str(tree), ["data/*"])
    assert [(status.path, status.copied) for status in report] == [(str(shared), ["data/run.sh"])]
    assert (shared / "data/run.sh").read_text() == "data/run.sh"
