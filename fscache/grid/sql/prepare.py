"""From a query's text to a plan that is ready to run."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from fscache.errors import SQLError, UnknownTableError
from fscache.grid.sql.bind import PLANNING, Binder
from fscache.grid.sql.execute import Bound
from fscache.grid.sql.facts import Limits
from fscache.grid.sql.parse import parse
from fscache.grid.sql.planner import plan, verbatim
from fscache.grid.sql.sandbox import connect
from fscache.grid.sql.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.parse import Query

_lock = threading.Lock()
_vocabulary: Vocabulary | None = None
_KEPT = 64  # plans of queries that may be asked again: 12 ms each
_kept: dict[tuple[str, Limits | None], tuple[Query, Bound, list[Source]]] = {}


class Catalog(Protocol):
    """The tables that a query may read; where there is none of a name, one that differs in case alone."""

    def schemas(self, names: Iterable[str]) -> Mapping[str, pa.Schema]:
        """Return the Arrow schemas of tables and URLs; those that are not there are left out."""

    def source(self, name: str) -> Source | None:
        """Return what is known of a table or URL; None if it is not there."""

    def own_name(self, name: str) -> str | None:
        """Return what a table is called itself; None of a URL, and of what is not there."""

    def file(self, name: str) -> str:
        """Return what reads a source without shards, as SQL has it."""


def vocabulary() -> Vocabulary:
    """Return the functions of DuckDB and ours; looked up once in a process: 0.1 s."""
    global _vocabulary  # noqa: PLW0603 - the one of this process
    with _lock:
        if _vocabulary is None:
            _vocabulary = Vocabulary(connect(PLANNING))
        return _vocabulary


def timezone() -> str:
    """Return what times without an offset mean to DuckDB on this host."""
    return vocabulary().timezone


def prepare(
    text: str,
    shared: Mapping[str, Any] | None,
    catalog: Catalog,
    limits: Limits | None = None,
) -> tuple[Query, Bound]:
    """Read a query and plan it.

    Raises:
        SQLError: it cannot be read, or names what is not there.
        SQLRefusedError: it does not only read.
        UnknownTableError: there is no table of a name.
    """
    key = (text, limits)
    if not shared:
        with _lock:
            kept = _kept.get(key)
        # A plan is as good as what it knows of the tables.
        if kept is not None and all(catalog.source(s.name) == s for s in kept[2]):
            return kept[:2]
    return _keep(key, shared, _prepared(text, shared, catalog, limits or Limits()))


def prepare_without_keys(
    text: str,
    shared: Mapping[str, Any] | None,
    catalog: Catalog,
    limits: Limits | None = None,
) -> Bound:
    """Plan a query whose keys turned out to be many; who asks it again gets this plan at once."""
    careful = replace(limits or Limits(), keys=False)
    return _keep((text, limits), shared, _prepared(text, shared, catalog, careful))[1]


def _spelled_once(names: Iterable[str], catalog: Catalog) -> list[str]:
    """Return a name for each table, its own if that is used: DuckDB itself minds no case."""
    found: dict[str, str] = {}
    for name in names:
        own = catalog.own_name(name) or name
        if own not in found or name == own:
            found[own] = name
    return list(found.values())


def _keep(
    key: tuple[str, Limits | None],
    shared: Mapping[str, Any] | None,
    made: tuple[Query, Bound, list[Source]],
) -> tuple[Query, Bound]:
    query, bound, _sources = made
    if not shared and not bound.files:
        with _lock:
            _kept[key] = made
            if len(_kept) > _KEPT:
                del _kept[next(iter(_kept))]
    return query, bound


def _prepared(
    text: str, shared: Mapping[str, Any] | None, catalog: Catalog, limits: Limits
) -> tuple[Query, Bound, list[Source]]:
    words = vocabulary()
    query = parse(text, shared, words, catalog.schemas)
    sources: dict[str, Source] = {}
    for name in _spelled_once(query.tables, catalog):
        source = catalog.source(name)
        if source is not None:
            sources[name] = source
        elif name.lower() in words.views:  # they tell of this process, even under a name of WITH
            raise UnknownTableError("there is none of this name", name)
    binder = Binder(query.parameters)
    try:
        try:
            wanted = binder.query(query, sources)
        except SQLError as exc:
            for name in [each for each in query.tables if each not in sources]:
                if f"name {name} does not exist" in exc.why:
                    raise UnknownTableError("there is none of this name", name) from None
                if f'file "{name}"' in exc.why:
                    raise UnknownTableError(
                        "files are read by their URL, file:///…, or deployed as tables", name
                    ) from None
            raise
        chosen = plan(query, sources, words, limits)
        known = binder.plan(chosen, sources, wanted)
        if known is None:
            chosen = verbatim(query, sources, "DuckDB does not accept its parts")
            known = binder.plan(chosen, sources, wanted)
        if known is None:
            raise SQLError("it cannot be computed of its tables", query.source)
    finally:
        binder.close()
    files = {relation: catalog.file(name) for relation, name in chosen.local.items()}
    bound = Bound(chosen, known, wanted, query.parameters, files)
    return query, bound, list(sources.values())
