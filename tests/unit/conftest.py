"""For unit tests of what lies in a root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fscache.urls.index import URLIndex
from tests.support.catalogs import open_root
from tests.support.staging import Stage, stage_into

if TYPE_CHECKING:
    from fscache.records.root import Root


@pytest.fixture
def live(root_path: str) -> Root:
    """A root on the real clock, since the kernel's times are real."""
    return open_root(root_path)


@pytest.fixture
def stage(root: Root) -> Stage:
    def run(url: str, data: bytes, into: Root | None = None, **changes: object) -> str:
        return stage_into(into or root, url, data, **changes)

    return run


@pytest.fixture
def index(root: Root) -> URLIndex:
    return URLIndex(root)
