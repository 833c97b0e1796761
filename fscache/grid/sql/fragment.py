"""Running one query over files and rows that are given, in a DuckDB that reads nothing else.

What a worker does for a step, and what is done here for the answer, is this.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Self

import duckdb

from fscache.errors import SQLError
from fscache.grid.engine import quoted
from fscache.grid.sql.bind import parameters_of, reason
from fscache.grid.sql.catalog import described
from fscache.grid.sql.sandbox import connect, excess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from fscache.grid.sql.sandbox import Setting

_BATCH = 122_880  # rows that are handled at once: DuckDB's own portion
_AGAIN = 0.05  # s after which a query that is to end is told so again


class Fragment:
    """One query; `stop` ends it from any thread."""

    def __init__(
        self,
        relations: Mapping[str, str],
        rows: Mapping[str, tuple[pa.Table, Sequence[str]]],
        parameters: Mapping[str, Any],
        setting: Setting,
        gather: int | None = None,
    ) -> None:
        """Connect.

        Args:
            relations: What reads each relation's files, as SQL has it.
            rows: Relations that are given as rows, with DuckDB's types of their columns.
            parameters: Values of `$NAME`.
            setting: Of the database.
            gather: Bytes that an answer may have.
        """
        self._parameters = parameters
        self._limit = gather
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._stopper: threading.Thread | None = None
        self._connection = connect(setting)
        for name, reads in relations.items():
            self._view(name, "*", reads)
        for name, (table, types) in rows.items():
            self.add(name, table, types)

    def add(self, name: str, table: pa.Table, types: Sequence[str]) -> None:
        """Add a relation that is given as rows."""
        plain = table.rename_columns([f"c{number}" for number in range(table.num_columns)])
        self._connection.register(f"rows of {name}", plain)
        columns = ", ".join(
            f"CAST(c{number} AS {kind}) AS {quoted(column)}"
            for number, (column, kind) in enumerate(zip(table.column_names, types, strict=True))
        )
        self._view(name, columns, quoted(f"rows of {name}"))

    def table(self, query: str, types: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of a query.

        Args:
            query: As `Step.sql`.
            types: What its columns are to be.

        Raises:
            SQLError: it failed.
            GatherTooLargeError: it has more rows than there is room for.
            CancelledError: `stop` was called.
        """
        import pyarrow as pa

        batches: list[pa.RecordBatch] = []
        size = 0
        schema, reader = self._read(query, types)
        for batch in reader:
            size += batch.nbytes
            if (error := excess(size, self._limit)) is not None:
                self.stop()
                raise error
            batches.append(batch)
        return pa.Table.from_batches(batches, schema)

    def types(self, relation: str) -> list[str]:
        """Return the types of a relation's columns."""
        return list(described(self._connection, quoted(relation)).values())

    def stop(self) -> None:
        """End what runs, and let nothing more run."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        stopper = threading.Thread(target=self._interrupt, name="fscache sql stop", daemon=True)
        stopper.start()
        self._stopper = stopper

    def close(self) -> None:
        """Let go of the database."""
        self._ended.set()
        if self._stopper is not None:
            self._stopper.join()  # it holds the connection, which must not outlive the interpreter
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _view(self, name: str, columns: str, source: str) -> None:
        query = f"SELECT {columns} FROM {source}"  # noqa: S608 - all quoted
        self._connection.execute(f"CREATE TEMP VIEW {quoted(name)} AS {query}")

    def _read(
        self, query: str, types: Sequence[str] | None
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        if types is not None:
            names = [f"c{number}" for number in range(len(types))]
            casts = ", ".join(f"CAST({n} AS {kind})" for n, kind in zip(names, types, strict=True))
            query = f"SELECT {casts} FROM ({query}) AS answer({', '.join(names)})"  # noqa: S608
        try:
            if self._stopped.is_set():
                raise CancelledError
            relation = self._connection.sql(query, params=parameters_of(query, self._parameters))
            reader = relation.to_arrow_reader(_BATCH)
        except duckdb.Error as exc:
            raise self._translated(exc) from None
        return reader.schema, self._batches(reader)

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (duckdb.Error, pa.ArrowException, OSError) as exc:
                raise self._translated(exc) from None
            if self._stopped.is_set():
                raise CancelledError
            yield batch

    def _translated(self, exc: Exception) -> Exception:
        if self._stopped.is_set():
            return CancelledError()
        return SQLError(reason(exc))

    def _interrupt(self) -> None:
        # Once is not enough: it may not have begun yet.
        while not self._ended.is_set():
            try:
                self._connection.interrupt()
            except duckdb.Error:
                return
            self._ended.wait(_AGAIN)
