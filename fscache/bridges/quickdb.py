"""QuickDB's client under its old names, on SQL over the grid.

    from fscache.bridges.quickdb import post_sql, use

    use(Grid("tls://head:8786"))               # or nothing: tables and URLs of this machine's cache
    result = post_sql("SELECT count(*) FROM sky WHERE forced.isprimary GROUP BY forced.i.ext < 0.5")
    for group, count in zip(*result.target_list): ...

What programs rely on is as it was: names and values of results, NumPy's rules for NaN, shared values,
interrupts, RuntimeError with the reason. Its wrong answers are not: LIMIT counts rows that WHERE has
let through, and all of a stream's; a count of no rows is 0. MIGRATION.md lists what else differs.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from fscache.bridges.quickdbvalues import CrossMatch, MinMax, as_array, as_value
from fscache.errors import FscacheError
from fscache.grid.sql.quickdb import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from fscache.grid.grid import Grid
    from fscache.grid.sql.quickdb import Translated

__all__ = [
    "CrossMatch",
    "MinMax",
    "PartialData",
    "Progress",
    "QueryResult",
    "SafeEvent",
    "post_sql",
    "post_sql_streaming",
    "post_sql_streaming_with_tqdm",
    "post_sql_with_tqdm",
    "run_sql",
    "use",
]

_TICK = 0.1  # s between looks whether a query is to end


class Progress(NamedTuple):
    """How far a query is; `data` was the rows of a part, which `PartialData` has."""

    done: int
    total: int
    data: Any = None


class QueryResult:
    """The results of a query, a column each."""

    def __init__(self, target_names: list[str], target_list: list[Any]) -> None:
        self.target_names = target_names
        self.target_list = target_list

    def dataframe(self) -> pd.DataFrame:
        """Return them as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame(dict(zip(self.target_names, self.target_list, strict=True)))


class PartialData(NamedTuple):
    """Some rows of a query, and how far it is."""

    progress: Progress
    target_list: list[np.ndarray[Any, Any]]


class SafeEvent(threading.Event):
    """Ends a query when it is set; as a context, at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.set()


_grid: Grid | None = None


def use(grid: Grid | None) -> None:
    """Have the functions of this module use a grid; None for this process alone."""
    global _grid  # noqa: PLW0603 - the one place where queries of this module go
    _grid = grid


def run_sql(  # noqa: PLR0917 - as it was
    sql: str,
    grid: Grid | None = None,
    shared: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    interrupt_notifiyer: threading.Event | None = None,
    streaming: bool = False,
) -> QueryResult | None:
    """Run a query.

    Args:
        sql: In QuickDB's dialect.
        grid: Where; as `use` has it by default.
        shared: Values for `shared.NAME`.
        progress: Called now and then; of a stream, with each part's rows as `data`.
        interrupt_notifiyer: Cancels the query when it is set.
        streaming: Give rows to `progress` as they come, and return None.

    Raises:
        RuntimeError: the query failed, with the reason; or `Cancelled`.
    """
    if streaming:
        for part in _stream(sql, grid, shared, interrupt_notifiyer):
            if progress is not None:
                progress(part.progress._replace(data=part.target_list))
        return None
    asked = _asked(sql, shared)
    table = _table(asked, grid, shared, progress, interrupt_notifiyer)
    if asked.aggregate:
        return _grouped(asked, table)
    columns = [as_array(column) for column in table.columns]
    return QueryResult(asked.names, columns)


def post_sql(
    sql: str,
    shared: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    polling_interval: float = 1,  # noqa: ARG001 - nothing is polled any more
) -> QueryResult:
    """Run a query; Ctrl-C cancels it. Raises RuntimeError with the reason."""
    found = run_sql(sql, None, shared, progress)
    assert found is not None  # noqa: S101 - only a stream returns nothing
    return found


def post_sql_with_tqdm(
    sql: str,
    shared: Mapping[str, Any] | None = None,
    polling_interval: float = 0.1,  # noqa: ARG001
    ncols: int | None = None,
) -> QueryResult:
    """Run a query, with a bar."""
    from tqdm.auto import tqdm

    with tqdm(ncols=ncols) as bar:
        return post_sql(sql, shared, lambda progress: _draw(bar, progress))


def post_sql_streaming(sql: str, shared: Mapping[str, Any] | None = None) -> Iterator[PartialData]:
    """Yield the rows of a query as they come."""
    return _stream(sql, None, shared, None)


def post_sql_streaming_with_tqdm(
    sql: str, shared: Mapping[str, Any] | None = None, ncols: int | None = None
) -> Iterator[PartialData]:
    """Yield the rows of a query as they come, with a bar."""
    from tqdm.auto import tqdm

    with tqdm(ncols=ncols) as bar:
        for part in post_sql_streaming(sql, shared):
            _draw(bar, part.progress)
            yield part


def _draw(bar: Any, progress: Progress) -> None:
    bar.total = progress.total
    bar.update(progress.done - bar.n)


def _asked(sql: str, shared: Mapping[str, Any] | None) -> Translated:
    try:
        return translate(sql, shared or {})
    except FscacheError as exc:
        raise RuntimeError(str(exc)) from exc


def _rows(
    asked: Translated,
    grid: Grid | None,
    shared: Mapping[str, Any] | None,
    progress: Callable[[Progress], None] | None,
    interrupt: threading.Event | None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query; cancel it if it is left, or interrupted."""
    if grid is None and _grid is None:
        import fscache

        run: Any = fscache.sql
    else:
        run = (grid or _grid).sql  # type: ignore[union-attr]
    told = None if progress is None else lambda each: progress(Progress(each.done, each.total))
    over = threading.Event()
    try:
        if (interrupt or over).wait(asked.pause):
            raise CancelledError  # noqa: TRY301
        with run(asked.text, shared, streaming=True, progress=told) as stream:
            if interrupt is not None:
                _watch(interrupt, over, stream.cancel)
            yield from stream
    except CancelledError:
        raise RuntimeError("Cancelled") from None
    except FscacheError as exc:
        raise RuntimeError(str(exc)) from exc
    finally:
        over.set()


def _watch(interrupt: threading.Event, over: threading.Event, cancel: Callable[[], None]) -> None:
    """Cancel a query when the caller's event is set."""

    def wait() -> None:
        while not over.wait(_TICK):
            if interrupt.is_set():
                cancel()
                return

    threading.Thread(target=wait, name="quickdb", daemon=True).start()


def _stream(
    sql: str,
    grid: Grid | None,
    shared: Mapping[str, Any] | None,
    interrupt: threading.Event | None,
) -> Iterator[PartialData]:
    asked = _asked(sql, shared)
    if asked.aggregate or asked.ordered:
        what = "Aggregation query" if asked.aggregate else "ORDER BY"
        raise RuntimeError(f"{what} cannot be run streamly")
    latest = Progress(0, 1)

    def told(progress: Progress) -> None:
        nonlocal latest
        latest = progress

    for batch in _rows(asked, grid, shared, told, interrupt):
        if batch.num_rows:
            yield PartialData(latest, [as_array(column) for column in batch.columns])


def _table(
    asked: Translated,
    grid: Grid | None,
    shared: Mapping[str, Any] | None,
    progress: Callable[[Progress], None] | None,
    interrupt: threading.Event | None,
) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(list(_rows(asked, grid, shared, progress, interrupt)))


def _grouped(asked: Translated, table: pa.Table) -> QueryResult:
    """Return a list for each result, its values in the order of the groups, and the groups first."""
    columns = [column.to_pylist() for column in table.columns]
    keys = [tuple(key) for key in zip(*columns[: asked.keys], strict=True)]
    groups = keys if asked.keys else [None] * table.num_rows
    values = [[as_value(value) for value in column] for column in columns[asked.keys :]]
    return QueryResult(["$group_by", *asked.names], [groups, *values])
