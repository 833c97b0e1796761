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
        return self._exported(lambda relation: relation.to_arrow_table()).rename_columns(
            self.columns
        )

    def df(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame."""
        frame = self._exported(lambda relation: relation.df())
        frame.columns = self.columns
        return frame

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as Python values."""
        found: list[tuple[Any, ...]] = self._exported(lambda relation: relation.fetchall())
        return found

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, as `arrow` has them, in portions; one at least, which may have no rows."""
        import pyarrow as pa

        table = self.arrow()
        nothing = [pa.array([], kind) for kind in table.schema.types]
        yield from table.to_batches() or [pa.record_batch(nothing, schema=table.schema)]

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

    def _exported(self, export: Callable[[Any], Any]) -> Any:
        # Names of their own: those of the query may be equal to each other.
        plain = self._table.rename_columns([f"c{n}" for n in range(len(self.columns))])
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
