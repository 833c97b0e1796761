"""Task databases for tests: in files and in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from fscache.tasks import backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase
    from tests.conftest import Clock

START = datetime(2025, 6, 1, 12, tzinfo=UTC)
"""When the tests' tasks are submitted."""


@pytest.fixture(params=["files", "memory"])
def tasks(request: pytest.FixtureRequest, root: Root, clock: Clock) -> Iterator[TaskDatabase]:
    made = backends.in_files(root) if request.param == "files" else backends.in_memory(clock)
    yield made
    made.close()


@pytest.fixture
def open_tasks(root: Root) -> Iterator[Callable[..., TaskDatabase]]:
    """Open the database of `root`, as many times as wanted; all are closed at the end."""
    made: list[TaskDatabase] = []

    def opener(**options: object) -> TaskDatabase:
        made.append(backends.in_files(root, **options))  # type: ignore[arg-type]
        return made[-1]

    yield opener
    for each in made:
        each.close()
