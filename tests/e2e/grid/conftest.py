"""Grids and heads for whole modules: a cluster takes a second to start, so tests share one."""

from __future__ import annotations

import gc
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import PROGRAM, Shell
from tests.support.gridwork import grid, is_running, until
from tests.support.servers import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fscache.grid import Grid


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="module")
def two(top: str) -> Iterator[Grid]:
    """Two workers, each with a root of its own; both must be gone afterwards."""
    with grid(top, 2) as made:
        yield made
        pids = [worker.pid for worker in made.workers()]
    gc.collect()
    until(lambda: not any(map(is_running, pids)), "the workers to end")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of `shell`."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shell(place: Path) -> Iterator[Shell]:
    """A shell that knows a head, which runs in the foreground as under systemd."""
    made = Shell(str(place))
    assert made.run("workers", "init").code == 0
    head = subprocess.Popen(
        [PROGRAM, "workers", "head", "--host", "127.0.0.1", "--port", "0"],
        env=made.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert head.stdout is not None
    try:
        address = head.stdout.readline().strip()
        assert address.startswith("tls://127.0.0.1:")
        made.environ["FSCACHE_GRID"] = address
        made.environ["FSCACHE_ROOT"] = str(place / "root")
        yield made
        made.run("workers", "stop")
    finally:
        head.terminate()
        head.stdout.close()
        assert head.wait(DEADLINE) == 0


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory through which tests and calls tell each other how far they are."""
    return str(tmp_path_factory.mktemp("gate"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            # The engine's threads outlive a test, and end with its grid.
            item.add_marker(pytest.mark.leaks)
            item.add_marker(pytest.mark.xdist_group("grid"))
