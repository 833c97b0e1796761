"""What a query returns: rows with the names and types that one DuckDB process would give them.

The rows are held as Arrow, in DuckDB's lossless form; every other form is made when asked for.
"""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import duckdb
    import pandas as pd
    import pyarrow as pa

_SHOWN = 20  # rows that a printed result has at the most
_WIDEST = 40  # characters of one printed value
_ZONED = "TIMESTAMP WITH TIME ZONE"


class Result:
    """The rows of a query, whole."""

    def __init__(self, table: pa.Table, columns: Sequence[str], types: Sequence[str]) -> None:
        """Take rows.

        Args:
            table: As DuckDB exports them with `arrow_lossless_conversion`.
            columns: Their names, which need not differ from each other.
            types: DuckDB's names of their types.
        """
        self._table = table
        self.columns = list(columns)
        self.types = list(types)

    def arrow(self) -> pa.Table:
        """Return the rows as DuckDB alone exports them."""
        exported: pa.Table = _exported(self._table, lambda relation: relation.to_arrow_table())
        return exported.rename_columns(self.columns)

    def df(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame."""
        frame: pd.DataFrame = _exported(self._table, lambda relation: relation.df())
        frame.columns = self.columns
        return frame

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as Python values; a time with a zone that Python has none of is text."""
        import pyarrow as pa

        # DuckDB makes them with pytz alone, which need not be there.
        zoned = {
            number: values(self._table.column(number))
            for number, kind in enumerate(self.types)
            if _ZONED in kind
        }
        rest = self._table
        for number in zoned:
            rest = rest.set_column(number, f"c{number}", pa.nulls(rest.num_rows))
        found: list[tuple[Any, ...]] = _exported(rest, lambda relation: relation.fetchall())
        if not zoned:
            return found
        columns = [
            zoned.get(number, column) for number, column in enumerate(zip(*found, strict=True))
        ]
        return list(zip(*columns, strict=True))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, as `arrow` has them, in portions; one at least, which may have no rows."""
        import pyarrow as pa

        table = self.arrow()
        yield from table.to_batches()
        if not table.num_rows:
            nothing = [pa.array([], kind) for kind in table.schema.types]
            yield pa.record_batch(nothing, schema=table.schema)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows())

    def __repr__(self) -> str:
        cells = [self.columns, *([_text(value) for value in row] for row in self._head())]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, f"({self._count()})"])

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th title="{escape(kind, quote=True)}">{escape(name)}</th>'
            for name, kind in zip(self.columns, self.types, strict=True)
        )
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row) + "</tr>"
            for row in self._head()
        )
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{self._count()}</p>"
        )

    def _head(self) -> list[tuple[Any, ...]]:
        return Result(self._table.slice(0, _SHOWN), self.columns, self.types).rows()

    def _count(self) -> str:
        rows = f"{len(self)} row{'' if len(self) == 1 else 's'}"
        return rows if len(self) <= _SHOWN else f"{rows}, the first {_SHOWN} of which are shown"


def values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return a column as Python values; DuckDB's text of what Python has not, as the date infinity."""
    import pyarrow as pa

    try:
        found: list[Any] = column.to_pylist()
    except (OverflowError, ValueError, pa.ArrowNotImplementedError):
        texts = _exported(
            pa.table({"c0": column}), lambda each: each.project("CAST(c0 AS VARCHAR)").fetchall()
        )
        return [_value(scalar, text) for scalar, (text,) in zip(column, texts, strict=True)]
    return found


def _value(scalar: pa.Scalar, text: str | None) -> Any:
    import pyarrow as pa

    try:
        return scalar.as_py()
    except (OverflowError, ValueError, pa.ArrowNotImplementedError):
        return text


def _exported(table: pa.Table, export: Callable[[Any], Any]) -> Any:
    # Names of their own: those of the query may be equal to each other.
    plain = table.rename_columns([f"c{number}" for number in range(table.num_columns)])
    with _database().cursor() as connection:
        return export(connection.from_arrow(plain))


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return a database for exports: to make one for each would take 20 ms."""
    from fscache.grid.engine import connect

    return connect(threads=1)


def _text(value: object) -> str:
    text = "NULL" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
