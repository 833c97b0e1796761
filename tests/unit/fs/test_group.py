"""Promises of fscache.fs.group, and of a writer that has one."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from fscache.fs.atomic import Modes, Writer
from fscache.fs.group import Group, sync_file
from tests.support.processes import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Syncs:
    """Notes what is synced, and how much the file held then."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.done = threading.Event()
        self.fail = False

    def __call__(self, path: str) -> None:
        if self.fail:
            raise OSError(5, "no luck")
        sync_file(path)
        self.paths.append(path)
        self.done.set()


def group(syncs: Syncs, window: float = 0.3) -> Group:
    return Group(window, syncs)


def test_flush_syncs_every_file_and_then_each_directory_once(tmp_path: Path) -> None:
    syncs = Syncs()
    made = group(syncs)
    names = [str(tmp_path / name) for name in ("a", "b")]
    for name in names:
        with open(name, "wb"):
            made.note(name)
    made.flush()
    assert sorted(syncs.paths[:2]) == names  # side by side
    assert syncs.paths[2:] == [str(tmp_path)]
    made.flush()
    assert len(syncs.paths) == 3


def test_what_is_noted_is_synced_within_the_window_without_being_asked(tmp_path: Path) -> None:
    syncs = Syncs()
    made = group(syncs, 0.001)
    (tmp_path / "a").write_bytes(b"x")
    made.note(str(tmp_path / "a"))
    assert syncs.done.wait(20)


def test_a_file_that_is_gone_is_no_error_and_its_directory_is_synced(tmp_path: Path) -> None:
    syncs = Syncs()
    made = group(syncs)
    made.note(str(tmp_path / "gone"))
    made.flush()
    assert syncs.paths[-1] == str(tmp_path)


def test_what_could_not_be_synced_is_tried_again(tmp_path: Path) -> None:
    syncs = Syncs()
    made = group(syncs)
    (tmp_path / "a").write_bytes(b"x")
    made.note(str(tmp_path / "a"))
    syncs.fail = True
    with pytest.raises(OSError, match="no luck"):
        made.flush()
    syncs.fail = False
    made.flush()
    assert syncs.paths == [str(tmp_path / "a"), str(tmp_path)]


def test_a_failure_in_the_background_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, until: Callable[..., None]
) -> None:
    syncs = Syncs()
    syncs.fail = True
    made = group(syncs, 0.001)
    made.note(str(tmp_path / "a"))
    until(lambda: "not durable yet" in caplog.text, "a word in the log")
    syncs.fail = False
    assert syncs.done.wait(20)


def test_a_forked_child_syncs_its_own_and_not_its_parents(tmp_path: Path) -> None:
    syncs = Syncs()
    made = group(syncs)
    made.note(str(tmp_path / "parent"))

    def child() -> list[str]:
        made.flush()
        made.note(str(tmp_path / "child"))
        made.flush()
        return syncs.paths

    assert in_child(child) == [str(tmp_path / "child"), str(tmp_path)]
    made.flush()


def writer(tmp_path: Path, syncs: Syncs) -> Writer:
    os.makedirs(tmp_path / "partial", exist_ok=True)
    return Writer(str(tmp_path / "partial"), Modes(), durable=True, group=group(syncs))


def test_a_new_name_is_noted_and_not_waited_for(tmp_path: Path) -> None:
    syncs = Syncs()
    made = writer(tmp_path, syncs)
    final = str(tmp_path / "name")
    made.write(final, b"new", replace=False)
    assert syncs.paths == []
    assert made.group is not None
    made.group.flush()
    assert syncs.paths == [final, str(tmp_path)]


def test_what_replaces_a_name_is_synced_before_it_gets_it(tmp_path: Path) -> None:
    """The old bytes may be durable; until the new ones are, a loss of power must find the old."""
    syncs = Syncs()
    made = writer(tmp_path, syncs)
    final = str(tmp_path / "name")
    made.write(final, b"old", replace=False)
    assert made.group is not None
    made.group.flush()
    syncs.paths.clear()
    made.write(final, b"new")
    assert [os.path.dirname(path) for path in syncs.paths] == [str(tmp_path / "partial")]


def test_a_removal_is_noted(tmp_path: Path) -> None:
    syncs = Syncs()
    made = writer(tmp_path, syncs)
    final = str(tmp_path / "name")
    made.write(final, b"old", replace=False)
    assert made.remove(final)
    assert made.group is not None
    made.group.flush()
    assert syncs.paths == [final, str(tmp_path)]
