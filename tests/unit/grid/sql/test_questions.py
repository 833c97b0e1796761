"""QuickDB's questions to this process alone, over shards in its cache."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import fscache
from fscache.bridges import quickdb
from fscache.cache import Cache
from tests.support.catalogue import deploy, make
from tests.support.questions import QUESTIONS

if TYPE_CHECKING:
    from pathlib import Path

SKY = make()


@pytest.fixture(scope="module", params=["nested", "flat"])
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache with the catalogue in four shards."""
    path: Path = tmp_path_factory.mktemp("sky")
    cache = Cache(path / "root")
    table = SKY.table() if request.param == "nested" else SKY.flat()
    deploy(cache, table, "sky", path / "files", shards=4)
    yield cache
    cache.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_question(name: str, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fscache, "sql", partial(fscache.sql, cache=cache), raising=False)
    QUESTIONS[name](quickdb.run_sql, SKY)
