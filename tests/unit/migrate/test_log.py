"""Promises of fscache.migrate.log: what it knows is true; what it lost costs time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.migrate.log import Log
from tests.support.listing import files

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.records.root import Root

NAMES = ["plain", "with space", "line\nbreak", "back\\slash", "\\n", "ü", "\udce4", "a/b"]


@pytest.fixture
def status(tmp_path: Path) -> os.stat_result:
    (tmp_path / "file").write_bytes(b"bytes")
    return os.stat(tmp_path / "file")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_noted_is_known_to_the_next(root: Root, status: os.stat_result, name: str) -> None:
    with Log(root, "/old") as log:
        log.add(name, status, "0" * 20)
        assert log.address(name, status) == "0" * 20
    with Log(root, "/old") as log:
        assert log.address(name, status) == "0" * 20
    with Log(root, "/other") as log:
        assert log.address(name, status) is None


def test_a_file_that_changed_is_not_known(
    root: Root, status: os.stat_result, tmp_path: Path
) -> None:
    with Log(root, "/old") as log:
        log.add("file", status, "0" * 20)
        (tmp_path / "file").write_bytes(b"longer bytes")
        assert log.address("file", os.stat(tmp_path / "file")) is None


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_a_line_that_was_cut_off_is_forgotten_and_spoils_no_other(
    root: Root, status: os.stat_result, cut: int
) -> None:
    with Log(root, "/old") as log:
        for name in ("first", "last"):
            log.add(name, status, "0" * 20)
    (name,) = files(f"{root.path}/partial")
    path = f"{root.path}/partial/{name}"
    os.truncate(path, os.stat(path).st_size - cut)
    with Log(root, "/old") as log:
        assert log.address("first", status) == "0" * 20
        assert log.address("last", status) is None
        log.add("more", status, "1" * 20)
    with Log(root, "/old") as log:
        assert log.address("first", status) == "0" * 20
        assert log.address("more", status) == "1" * 20


def test_garbage_is_nothing(root: Root, status: os.stat_result) -> None:
    with Log(root, "/old") as log:
        log.add("first", status, "0" * 20)
    (name,) = files(f"{root.path}/partial")
    with open(f"{root.path}/partial/{name}", "ab") as file:
        file.write(os.urandom(1000))
    with Log(root, "/old") as log:
        assert log.address("first", status) == "0" * 20
