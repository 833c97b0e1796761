"""QuickDB's questions to two workers, over shards in their caches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from fscache.bridges import quickdb
from tests.support.catalogue import make
from tests.support.questions import QUESTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.grid import Grid

SKY = make()


@pytest.fixture(scope="module")
def sky(two: Grid, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two workers with the catalogue in six shards."""
    files: Path = tmp_path_factory.mktemp("sky")
    pq.write_table(SKY.table(), files / "all.parquet")
    two.tables.deploy(str(files), "sky", "id", shards=6)
    return two


@pytest.mark.parametrize("name", QUESTIONS)
def test_question(name: str, sky: Grid) -> None:
    QUESTIONS[name](partial(quickdb.run_sql, grid=sky), SKY)
