"""Queries without a cluster: one DuckDB in this process, over tables and URLs of one cache."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from fscache.errors import SQLError, UnknownTableError
from fscache.grid.engine import parquet
from fscache.grid.mapreduce import Progress
from fscache.grid.sql import catalog as facts
from fscache.grid.sql.attended import attended
from fscache.grid.sql.bind import reason
from fscache.grid.sql.execute import Execution
from fscache.grid.sql.explain import explained
from fscache.grid.sql.facts import Source
from fscache.grid.sql.parse import is_url
from fscache.grid.sql.prepare import prepare
from fscache.grid.sql.sandbox import Setting, connect, directories, memory, most_gathered
from fscache.grid.sql.stream import Stream, streamed
from fscache.grid.table import Table
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.sql.execute import Rows
    from fscache.grid.sql.facts import Step
    from fscache.grid.sql.result import Result


def setting_for(cache: Cache) -> Setting:
    """Return what a query may use of the host that asks."""
    return Setting(memory=memory() // 2, directories=directories(cache))


class Files:
    """URLs as tables: staged when they are asked for, and leased until `close`."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.setting = setting_for(cache)
        self._leases = ExitStack()
        self._found: dict[str, tuple[str, dict[str, str]]] = {}

    def source(self, url: str) -> Source:
        """Return what is known of a URL; raises StageError, and SQLError for what cannot be read."""
        path, columns = self._look(url)
        return facts.file_source(url, path, columns)

    def file(self, url: str) -> str:
        """Return what reads a URL, as SQL has it."""
        path, _columns = self._look(url)
        return facts.reader(url, path)

    def schema(self, url: str) -> pa.Schema:
        """Return a URL's Arrow schema."""
        with connect(self.setting) as connection:
            return connection.sql(f"SELECT * FROM {self.file(url)} LIMIT 0").to_arrow_table().schema  # noqa: S608

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Have an error in the bytes of a URL, such as in its last rows, name the URL."""
        try:
            yield
        except SQLError as exc:
            for url, (path, _columns) in self._found.items():
                if path in exc.why:
                    raise _told(exc.why, url, path) from None
            raise

    def close(self) -> None:
        """Give back the leases."""
        self._leases.close()

    def _look(self, url: str) -> tuple[str, dict[str, str]]:
        found = self._found.get(url)
        if found is None:
            self.cache.get(url)
            path = str(self._leases.enter_context(self.cache.lease(url)))
            try:
                with connect(self.setting) as connection:
                    columns = facts.described(connection, facts.reader(url, path))
            except duckdb.Error as exc:
                raise _told(reason(exc), url, path) from None
            found = self._found[url] = (path, columns)
        return found


def _told(why: str, url: str, path: str) -> SQLError:
    """Return an error of reading a URL.

    Where the bytes lie here says nothing to who asks, who may be a server's client; nor do DuckDB's
    options of reading CSV, which it goes on about for many lines.
    """
    shown = redact(url)
    what = " ".join(why.split("\n\n", maxsplit=1)[0].replace(path, shown).split("\n"))
    return SQLError(what if what.startswith(shown) else f"{shown}: {what}")


class _Here:
    """A `Catalog` of the tables that one cache knows, all of whose shards are brought into it."""

    def __init__(self, cache: Cache) -> None:
        from fscache.grid.manifests import Manifests

        self.files = Files(cache)
        self._cache = cache
        self._manifests = Manifests(cache.root)
        self._tables: dict[str, Table | None] = {}

    def schemas(self, names: Iterable[str]) -> Mapping[str, pa.Schema]:
        found = {}
        for name in names:
            table = self._table(name)
            if is_url(name):
                found[name] = self.files.schema(name)
            elif table is not None:
                found[name] = table.schema
        return found

    def source(self, name: str) -> Source | None:
        if is_url(name):
            return self.files.source(name)
        table = self._table(name)
        if table is None:
            return None
        columns = facts.columns_of(self._paths(table)[0], directories(self._cache))
        # Of no shards, as a URL: everything lies here.
        return Source(name, columns, table.rows, table.size)

    def own_name(self, name: str) -> str | None:
        table = self._table(name)
        return None if table is None else table.name

    def file(self, name: str) -> str:
        if is_url(name):
            return self.files.file(name)
        table = self._table(name)
        if table is None:
            raise UnknownTableError("there is none of this name", name)
        return parquet(self._paths(table))

    def _table(self, name: str) -> Table | None:
        if name not in self._tables:
            data = None if is_url(name) else self._read(name)
            self._tables[name] = None if data is None else Table.decode(data)
        return self._tables[name]

    def _read(self, name: str) -> bytes | None:
        data = self._manifests.read(name)
        if data is None:
            other = facts.folded(name, self._manifests.names())
            data = None if other is None else self._manifests.read(other)
        return data

    def _paths(self, table: Table) -> list[str]:
        return [str(self._cache.path(address)) for address in table.addresses]


class _Nobody:
    """Workers of a query that needs none."""

    def run(self, _step: Step, _inputs: Mapping[str, Rows]) -> Iterator[pa.Table]:
        """Do nothing: there are no steps."""
        yield from ()

    def stop(self) -> None:
        """Do nothing."""


def run(
    query: str,
    shared: Mapping[str, Any] | None,
    *,
    streaming: bool,
    progress: bool | Callable[[Progress], None] | None,
    max_gather: int | None,
    cache: Cache | None,
) -> Result | Stream:
    """Run a query in this process; see `fscache.grid.sql.sql`."""
    from fscache import default

    catalog = _Here(cache if cache is not None else default())
    report = reporter(progress, "sql")
    with ExitStack() as stack:
        stack.callback(catalog.files.close)
        read, bound = prepare(query, shared, catalog)
        if read.explain:
            plan = explained(bound)
            return streamed(plan) if streaming else plan
        gather = most_gathered(max_gather)
        execution = Execution(bound, _Nobody(), catalog.files.setting, gather)
        if not streaming:
            begun = time.monotonic()
            with catalog.files.naming():
                result = attended(execution.result, execution.stop)
            report(Progress(1, 1, time.monotonic() - begun))
            return result
        later = stack.pop_all()

    def produce(put: Callable[[pa.RecordBatch], None]) -> None:
        with later, catalog.files.naming():
            execution.stream(put)

    return Stream(produce, execution.stop)


def reporter(
    progress: bool | Callable[[Progress], None] | None, title: str
) -> Callable[[Progress], None]:
    """Return what is to be called with each `Progress`."""
    if progress is True:
        from fscache.grid.progress import Bar

        return Bar(title)
    return progress or (lambda _progress: None)
