"""SQL over shards without a cluster: planner and executor in one process, DuckDB beside them."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fscache.grid.engine import parquet, parquet_each
from fscache.grid.sql import catalog as facts
from fscache.grid.sql.execute import Execution
from fscache.grid.sql.facts import Key, Limits, Source
from fscache.grid.sql.fragment import Fragment
from fscache.grid.sql.prepare import prepare, prepare_without_keys
from fscache.grid.sql.sandbox import Setting
from fscache.grid.sql.spans import Spans
from fscache.grid.table import ShardInfo
from fscache.grid.writing import shard_stats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fscache.grid.sql.execute import Bound
    from fscache.grid.sql.facts import Step
    from fscache.grid.sql.parse import Query
    from fscache.grid.sql.result import Result


class Shards:
    """Tables as lists of Parquet files; a `Catalog`, and `Workers` that each take every n-th shard."""

    def __init__(self, top: str, workers: int = 2, limits: Limits | None = None) -> None:
        self.setting = Setting(threads=1, directories=(os.path.join(top, ""),))
        self.paths: dict[str, list[str]] = {}
        self.keys: dict[str, Key | None] = {}
        self.workers = workers
        self.limits = limits or Limits()
        self.ran: list[Step] = []
        self.gave_up = 0
        self.read: set[tuple[str, int]] = set()
        self._columns: dict[str, dict[str, str]] = {}
        self._shards: dict[str, list[ShardInfo]] = {}
        self._duckdb = duckdb.connect(config={"threads": 1})
        self._parameters: Mapping[str, Any] = {}

    def add(self, name: str, paths: Sequence[str], key: Key | None = None) -> None:
        self.paths[name] = list(paths)
        self.keys[name] = key
        self._columns[name] = facts.columns_of(paths[0], self.setting.directories)
        self._shards[name] = []
        for index, path in enumerate(paths):
            rows = pq.read_table(path)
            with pa.OSFile(path) as file:
                stats = shard_stats(file.read_buffer(), rows)
            self._shards[name].append(ShardInfo(index, path, 0, rows.num_rows, stats))

    # -- a catalog ----------------------------------------------------------------------------

    def schemas(self, names: Iterable[str]) -> dict[str, pa.Schema]:
        return {name: pq.read_schema(self.paths[name][0]) for name in names if name in self.paths}

    def source(self, name: str) -> Source | None:
        if name not in self.paths:
            return None
        paths = self.paths[name]
        rows = sum(pq.read_metadata(path).num_rows for path in paths)
        size = sum(map(os.path.getsize, paths))
        spans = Spans(self._shards[name], self._columns[name])
        return Source(name, self._columns[name], rows, size, len(paths), self.keys[name], spans)

    def own_name(self, name: str) -> str | None:
        return name if name in self.paths else None

    def file(self, name: str) -> str:
        raise LookupError(name)

    # -- workers ------------------------------------------------------------------------------

    def run(self, step: Step, inputs: Mapping[str, Any]) -> Iterator[pa.Table]:
        self.ran.append(step)
        counts = {len(self.paths[name]) for name in step.parts.values()}
        assert len(counts) <= 1, "tables that are cut together have one number of shards"
        count = counts.pop() if counts else 1
        numbers = list(step.portions.numbers if step.portions else range(count))
        whole = {
            view: (name, chosen.numbers if chosen else range(len(self.paths[name])))
            for view, name, chosen in step.whole_shards
        }
        for first in range(min(self.workers, len(numbers))):
            mine = numbers[first :: self.workers]
            read = {view: (name, mine) for view, name in step.parts.items()} | whole
            self.read |= {(name, index) for name, chosen in read.values() for index in chosen}
            files = {
                view: [self.paths[name][index] for index in chosen]
                for view, (name, chosen) in read.items()
            }
            relations = {
                view: parquet_each(paths) if step.each and view in step.parts else parquet(paths)
                for view, paths in files.items()
            }
            with Fragment(relations, inputs, self._parameters, self.setting) as fragment:
                yield fragment.table(step.sql)

    def stop(self) -> None:
        pass

    # -- queries ------------------------------------------------------------------------------

    def prepare(self, text: str, shared: Mapping[str, Any] | None = None) -> tuple[Query, Bound]:
        return prepare(text, shared, self, self.limits)

    def sql(self, text: str, shared: Mapping[str, Any] | None = None) -> Result:
        self.ran, self.read = [], set()
        _query, bound = self.prepare(text, shared)
        self._parameters = bound.parameters

        def otherwise() -> Bound:
            self.gave_up += 1
            return prepare_without_keys(text, shared, self, self.limits)

        return Execution(bound, self, self.setting, otherwise=otherwise).result()

    def alone(self, text: str) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
        """Return names, types and rows as one DuckDB gives them over all files."""
        for name, paths in self.paths.items():
            self._duckdb.execute(
                f'CREATE VIEW IF NOT EXISTS "{name}" AS SELECT * FROM {parquet(paths)}'
            )
        relation = self._duckdb.sql(text)
        return relation.columns, [str(kind) for kind in relation.types], relation.fetchall()


def same(left: Any, right: Any, tolerance: float = 1e-9) -> bool:
    """Whether two values are equal, floating point up to rounding; NaN equals NaN."""
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right or math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-12)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


def same_rows(
    left: Sequence[tuple[Any, ...]], right: Sequence[tuple[Any, ...]], *, ordered: bool
) -> bool:
    """Whether two results have the same rows; in the same order, if `ordered`."""
    if not ordered:
        left, right = sorted(left, key=_order), sorted(right, key=_order)
    return len(left) == len(right) and all(map(same, left, right))


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_place(value) for value in row)


def _place(value: Any) -> tuple[str, Any]:
    if value is None:
        return ("0", "")
    if isinstance(value, bool):
        return ("1", str(value))
    if isinstance(value, int):
        return ("2", value)
    if isinstance(value, float):
        return ("4", "") if math.isnan(value) else ("3", float(f"{value:.6g}"))
    return ("5", str(value))
