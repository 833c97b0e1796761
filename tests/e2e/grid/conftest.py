"""Grids for whole modules: a cluster takes a second to start, so tests share one."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.gridwork import grid, is_running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

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
