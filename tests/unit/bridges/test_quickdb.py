"""QuickDB's client under its old names: NumPy's rules, values, streams, interrupts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from fscache.bridges import quickdb
from fscache.bridges.quickdb import SafeEvent, post_sql, run_sql
from fscache.cache import Cache
from fscache.grid.sql import sql
from tests.support.catalogue import deploy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAN, INF = float("nan"), float("inf")
X = np.array([-7.5, -1.0, 0.0, 0.5, 1.0, 2.0, NAN, INF, -INF, NAN])
K = np.array([-7, -3, -1, 0, 1, 2, 3, 7, 8, 9])


class Here:
    """Stands where a grid would: queries to one cache of this process."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.asked: list[str] = []

    def sql(self, query: str, shared: Any, **options: Any) -> Any:
        self.asked.append(query)
        return sql(query, shared, cache=self._cache, **options)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    path: Path = tmp_path_factory.mktemp("quickdb")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(30.0)), 3)
    table = pa.table(
        {"id": np.arange(10), "x": X, "k": K, "name": list("abcdefghij"), "v": vectors}
    )
    with Cache(path / "root") as cache:
        deploy(cache, table, "t", path / "files", shards=3)
        yield cache


@pytest.fixture(autouse=True)
def here(cache: Cache) -> Iterator[Here]:
    made = Here(cache)
    quickdb.use(made)  # type: ignore[arg-type]
    yield made
    quickdb.use(None)


def chosen(where: str) -> list[int]:
    """The rows for which a condition holds."""
    return sorted(post_sql(f"SELECT id FROM t WHERE {where}").target_list[0].tolist())


@pytest.mark.parametrize(
    ("where", "right"),
    [
        ("x > 0.5", X > 0.5),
        ("x >= 0.5", X >= 0.5),
        ("x < 0.5", X < 0.5),
        ("0.5 < x", X > 0.5),
        ("0.5 <= x", X >= 0.5),
        ("0.5 > x", X < 0.5),
        ("x = x", X == X),  # noqa: PLR0124 - NaN
        ("x <> x", X != X),  # noqa: PLR0124
        ("x != 0.5", X != 0.5),
        ("x = 0.5", X == 0.5),
        ("NOT (x < 0.5)", ~(X < 0.5)),
        ("NOT x > 0.5", ~(X > 0.5)),
        ("x BETWEEN -1 AND 1", (X >= -1) & (X <= 1)),
        ("x BETWEEN 0 AND x", (X >= 0) & (X <= X)),  # noqa: PLR0124
        ("x NOT BETWEEN -1 AND 1", (X < -1) | (X > 1)),
        ("isnan(x)", np.isnan(X)),
        ("name > 'c' AND name <> 'd'", np.arange(10) > 3),
        ("k % 3 = 2", K % 3 == 2),
        ("k // 2 = -4", K // 2 == -4),
        ("x // 2 = -4", np.floor(X / 2) == -4),
    ],
)
def test_conditions_are_numpys(where: str, right: Any) -> None:
    assert chosen(where) == np.flatnonzero(right).tolist()


@pytest.mark.parametrize("direction", ["", "DESC"])
def test_nan_is_last_in_either_order(direction: str) -> None:
    (found,) = post_sql(f"SELECT x FROM t ORDER BY x {direction}").target_list
    known = np.sort(X[~np.isnan(X)])
    np.testing.assert_array_equal(found[:8], known[::-1] if direction else known)
    assert np.isnan(found[8:]).all()


def test_limits_are_of_finite_values() -> None:
    result = post_sql("SELECT min(x), max(x), minmax(x), sum(k) FROM t")
    low, high, both, total = (column[0] for column in result.target_list[1:])
    assert (low, high, both.min, both.max) == (-7.5, 2.0, -7.5, 2.0)
    assert int(total) == K.sum()
    result = post_sql("SELECT minmax(x) FROM t WHERE isnan(x)")
    assert np.isnan(result.target_list[1][0]).all()


def test_results_have_names_and_a_data_frame() -> None:
    result = post_sql("SELECT id, v[0] AS first, v[2], e FROM t ORDER BY id LIMIT 2")
    assert result.target_names == ["col0", "first", "col2", "col3"]
    assert [column.tolist() for column in result.target_list[:3]] == [[0, 1], [0, 3], [2, 5]]
    assert result.target_list[3] == pytest.approx([np.e, np.e])
    frame = result.dataframe()
    assert list(frame.columns) == result.target_names
    (vectors,) = post_sql("SELECT v FROM t ORDER BY id LIMIT 2").target_list
    assert vectors.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_histogram_has_fifty_bins() -> None:
    result = post_sql("SELECT histogram(k) FROM t GROUP BY id < 5")
    assert sorted(result.target_list[0]) == [(False,), (True,)]
    for counts, edges in result.target_list[1]:
        assert (len(counts), len(edges), counts.sum()) == (50, 51, 5)


def test_a_histogram_of_nothing_has_no_edges() -> None:
    result = post_sql("SELECT histogram(x, bins => 3) FROM t WHERE isnan(x)")
    counts, edges = result.target_list[1][0]
    assert counts.tolist() == [0, 0, 0]
    assert np.isnan(edges).all()
    assert len(edges) == 4


@pytest.mark.parametrize(
    "query", ["DROP TABLE t", "SELECT 1", "SELECT nosuch FROM t", "SELECT x FROM nosuch", "SELECT"]
)
def test_errors_are_runtime_errors(query: str) -> None:
    with pytest.raises(RuntimeError):
        post_sql(query)


@pytest.mark.leaks  # a thread of tqdm's
def test_progress_is_told_and_drawn() -> None:
    told: list[Any] = []
    post_sql("SELECT count(*) FROM t WHERE x > 0", progress=told.append)
    assert all(each.done <= each.total for each in told)
    pytest.importorskip("tqdm", reason="tqdm draws the bar")
    assert quickdb.post_sql_with_tqdm("SELECT count(*) FROM t").target_list[1] == [10]
    parts = list(quickdb.post_sql_streaming_with_tqdm("SELECT id FROM t"))
    assert sorted(np.concatenate([part.target_list[0] for part in parts])) == list(range(10))


def test_a_stream_is_not_ordered() -> None:
    for query in ("SELECT count(*) FROM t", "SELECT id FROM t ORDER BY id"):
        with pytest.raises(RuntimeError, match="cannot be run streamly"):
            next(quickdb.post_sql_streaming(query))


def test_an_event_ends_a_query() -> None:
    event = SafeEvent()
    timer = threading.Timer(0.2, event.set)
    timer.start()
    with pytest.raises(RuntimeError, match="Cancelled"):
        run_sql("SELECT sleep(100) FROM t", interrupt_notifiyer=event)
    timer.join()
    with SafeEvent() as other:
        pass
    assert other.is_set()
    with pytest.raises(RuntimeError, match="Cancelled"):
        run_sql("SELECT id FROM t", interrupt_notifiyer=other)


def test_a_grid_can_be_named(cache: Cache, here: Here) -> None:
    other = Here(cache)
    run_sql("SELECT count(*) FROM t", other)  # type: ignore[arg-type]
    assert (len(other.asked), len(here.asked)) == (1, 0)
