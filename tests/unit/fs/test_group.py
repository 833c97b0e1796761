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


# -- what is written to in place --------------------------------------------------------------


def file(tmp_path: Path, data: bytes = b"x") -> tuple[str, os.stat_result]:
    path = str(tmp_path / "leaf" / "file")
    os.makedirs(tmp_path / "leaf", exist_ok=True)
    with open(path, "wb") as opened:
        opened.write(data)
    return path, os.stat(path)


def test_a_state_is_known_to_be_on_the_disk_after_a_flush_and_no_other_one(tmp_path: Path) -> None:
    made = group(Syncs())
    path, status = file(tmp_path)
    known = made.known(path, status, 1)
    assert (known.durable, known.named) == (False, False)
    made.note(path, known)
    assert not made.known(path, status, 1).durable
    made.flush()
    assert made.known(path, status, 1).durable
    assert made.known(path, status, 1).named
    assert not made.known(path, status, 2).durable
    os.utime(path, ns=(1, 1))
    assert not made.known(path, os.stat(path), 1).durable
    assert not made.known(path, os.stat(path), 1).named


def test_a_change_during_a_flush_is_not_taken_for_what_was_flushed(tmp_path: Path) -> None:
    path, status = file(tmp_path)

    class Changing(Syncs):
        def __call__(self, path: str) -> None:
            super().__call__(path)
            known.state = (*known.state[:2], 2)  # written just now

    made = group(Changing())
    known = made.known(path, status, 1)
    made.note(path, known)
    made.flush()
    assert made.known(path, status, 2) is known
    assert not known.durable
    assert known.named


def test_a_name_is_synced_once_and_with_that_of_its_directory(tmp_path: Path) -> None:
    syncs = Syncs()
    made = group(syncs)
    path, status = file(tmp_path)
    known = made.known(path, status, 1)
    made.note(path, known)
    made.flush()
    assert (syncs.paths[0], sorted(syncs.paths[1:])) == (
        path,
        [str(tmp_path), str(tmp_path / "leaf")],
    )
    syncs.paths.clear()
    known.state = (*known.state[:2], 2)
    made.note(path, known)
    made.flush()
    assert syncs.paths == [path]


def test_files_beyond_a_number_are_forgotten_and_those_in_use_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fscache.fs.group._REMEMBERED", 2)
    made = group(Syncs())
    path, status = file(tmp_path)
    for number in range(5):
        made.note(f"{path}{number}", made.known(f"{path}{number}", status, 1))
        made.note(path, made.known(path, status, 1))
    made.flush()
    assert made.known(path, status, 1).durable
    assert [made.known(f"{path}{number}", status, 1).durable for number in (0, 4)] == [False, True]


def test_after_a_sync_that_failed_nothing_more_is_believed(tmp_path: Path) -> None:
    syncs = Syncs()
    made = group(syncs)
    made.note(file(tmp_path)[0])
    syncs.fail = True
    with pytest.raises(OSError, match="no luck"):
        made.flush()
    syncs.fail = False
    made.flush()
    assert not made.sound


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


def test_what_was_synced_before_it_got_its_name_is_not_synced_again(tmp_path: Path) -> None:
    syncs = Syncs()
    made = writer(tmp_path, syncs)
    final = str(tmp_path / "leaf" / "name")
    made.write(final, b"old")
    assert made.group is not None
    made.group.flush()
    syncs.paths.clear()
    temp, status = made.stage(b"new")
    made.publish(temp, final, replace=True, known=made.group.known(temp, status, 1))
    made.group.flush()
    assert syncs.paths[0] == temp
    assert sorted(syncs.paths[1:]) == [str(tmp_path), str(tmp_path / "leaf")]
    assert made.group.known(final, status, 1).durable


def test_a_directory_for_a_new_name_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs()
    made = writer(tmp_path, syncs)
    made.make_directories(str(tmp_path / "store"))

    def fail(_fd: int) -> None:
        raise AssertionError("synced")

    temp, status = made.stage(b"new")
    assert made.group is not None
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        final = str(tmp_path / "store" / "leaf" / "name")
        known = made.group.known(temp, status, 1)
        assert made.publish(temp, final, replace=False, known=known)
    made.group.flush()
    assert sorted(syncs.paths[1:]) == [str(tmp_path / "store"), str(tmp_path / "store" / "leaf")]
