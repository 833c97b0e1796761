"""From a query to steps: what the workers compute, and what is computed here of that. Pure.

Each SELECT is taken apart on its own, from the outside in, in the first way that can be shown to be
right (docs/sql.md has the list). What cannot be taken apart is answered by bringing the columns and rows
that it needs together; and a query whose names cannot be made out, by its own text over whole tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from fscache.errors import SQLError
from fscache.grid.sql import gathering, shape, split
from fscache.grid.sql.conditions import from_of
from fscache.grid.sql.counting import counted
from fscache.grid.sql.cuts import choose
from fscache.grid.sql.dialect import write
from fscache.grid.sql.facts import Limits, NotProvable, Plan, Step
from fscache.grid.sql.halves import remote
from fscache.grid.sql.reducing import Reducer
from fscache.grid.sql.resolve import resolve
from fscache.grid.sql.semijoin import filtered
from fscache.grid.sql.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fscache.grid.sql.colocate import Colocation
    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.halves import Halves
    from fscache.grid.sql.parse import Query
    from fscache.grid.sql.resolve import Resolved
    from fscache.grid.sql.vocabulary import Vocabulary

_BIG = 16 << 20  # bytes from which it pays to compute a query within on its own, once


def plan(
    query: Query,
    sources: Mapping[str, Source],
    vocabulary: Vocabulary,
    limits: Limits | None = None,
) -> Plan:
    """Return how to answer a query.

    Args:
        query: As it was read.
        sources: What is known of the tables that it names.
        vocabulary: The functions there are.
        limits: What workers may be asked for.
    """
    here = {name: name for name in query.tables if name in sources and not sources[name].shards}
    if all(name in here for name in query.tables if name in sources):
        return Plan("here", (), query.text, here)
    if query.tree is None:
        return verbatim(query, sources, "its parts cannot be told")
    if shape.is_collated(query.tree):
        return verbatim(query, sources, "a column has a collation")
    try:
        resolved = resolve(query.tree, sources, vocabulary)
        return _Planner(resolved, sources, vocabulary, limits or Limits(), query.parameters).plan()
    except (NotProvable, SQLError, SqlglotError, RecursionError) as exc:
        # sqlglot and DuckDB each have constructs that only they can read or write.
        return verbatim(query, sources, str(exc))


def verbatim(query: Query, sources: Mapping[str, Source], why: str) -> Plan:
    """Return the plan that runs a query's own text, over whole tables."""
    known = [name for name in query.tables if name in sources]
    names = [name for name in known if sources[name].shards]
    if all(sources[name].shards == 1 for name in known):
        step = Step("g0", "single", query.text, wholes={name: name for name in known})
        return Plan("single", (step,), "SELECT * FROM g0", why=why)
    steps = tuple(
        Step(name, "gather", gathering.needed(query, sources[name]), {gathering.ALL: name})
        for name in names
    )
    here = {name: name for name in known if name not in names}
    return Plan("gather", steps, query.text, here, why=why)


class _Planner:
    def __init__(
        self,
        resolved: Resolved,
        sources: Mapping[str, Source],
        vocabulary: Vocabulary,
        limits: Limits,
        parameters: Mapping[str, Any],
    ) -> None:
        self._resolved = resolved
        self._vocabulary = vocabulary
        self._limits = limits
        tables = {source: sources[name] for source, name in resolved.tables.items()}
        self._steps = Steps(tables, vocabulary, limits, parameters)
        self._reducer = Reducer(self._steps)
        self._kinds: list[str] = []
        self._why = ""

    def plan(self) -> Plan:
        """Return the plan."""
        tree = self._resolved.tree
        shared = self._resolved.shared
        if not shared and all(table.shards == 1 for table in self._steps.tables.values()):
            known = self._counted(tree) if isinstance(tree, exp.Select) else None
            if known is not None:
                return Plan("count", (), write(known))
            wholes = self._steps.named(set(self._steps.tables))
            step = Step("g0", "single", write(tree), wholes=wholes)
            return Plan("single", (step,), "SELECT * FROM g0")
        for name, query in shared.items():
            self._steps.add("here", self._central(query), name=name)
        before = len(self._steps.listed)
        final = self._central(tree)
        only = len(self._steps.listed) == before + 1 == 1
        streams = only and self._steps.listed[0].kind == "scan" and not shape.is_arranged(final)
        kind = self._kinds[-1] if self._kinds else "here"
        local = self._steps.named(set(self._steps.tables) - self._steps.remote_all())
        return Plan(kind, tuple(self._steps.listed), write(final), local, streams, self._why)

    # -- queries ------------------------------------------------------------------------------

    def _central(self, node: exp.Expr) -> exp.Expr:
        """Return a query that needs nothing but relations that are here; add the steps for these."""
        if isinstance(node, exp.Subquery | exp.SetOperation):
            node.set("this", self._central(node.this))
            if isinstance(node, exp.SetOperation):
                node.set("expression", self._central(node.expression))
            return node
        if not isinstance(node, exp.Select):
            raise NotProvable(f"a query of the kind {type(node).__name__}")
        if not self._remote(node):
            return node
        known = self._counted(node)
        if known is not None:
            self._kinds.append("count")
            return known
        if shape.sources(node) - shape.read(node):
            return self._gathered(node, "it sees rows of the query around it")
        self._stage_big(node)
        while True:
            if self._limits.keys:
                self._reducer.reduce(node)
            try:
                return self._apart(node)
            except NotProvable as exc:
                why = str(exc)
            if not self._stage_one(node):
                return self._gathered(node, why)

    def _apart(self, select: exp.Select) -> exp.Expr:
        """Take a SELECT apart, whose FROM and WHERE can be computed shard by shard."""
        if not self._remote(remote(select)):
            # Its rows are here already, but queries in its columns may not be.
            self._inner(select)
            return select
        cut, colocation = choose(select, self._steps.tables, self._vocabulary, self._limits)
        halves = self._halves(select, self._steps.next, colocation)
        self._steps.add(halves.kind, halves.remote, cut, enough=halves.enough)
        self._kinds.append(halves.kind)
        self._inner(halves.here)
        return halves.here

    def _halves(self, select: exp.Select, name: str, colocation: Colocation) -> Halves:
        parts = list(shape.parts(select))
        windows = any(part.find(exp.Window) for part in parts)
        grouped = any(
            isinstance(part, exp.Group) or shape.groups(part, self._vocabulary) for part in parts
        )
        within = any(self._remote(query) for part in parts for query in shape.queries(part))
        if windows or grouped or within or select.args.get("distinct") is not None:
            try:
                colocation.check_all(select)
                return split.whole(select, name, self._vocabulary)
            except NotProvable:
                pass
        if grouped:
            try:
                return split.two_phase(select, name, self._vocabulary)
            except NotProvable as exc:
                self._why = self._why or str(exc)
        return split.rows(select, name, self._vocabulary)

    def _inner(self, select: exp.Expr) -> None:
        """Bring what queries within a SELECT need here, too."""
        for query in shape.inner(select):
            if self._remote(query):
                other = self._central(query)
                if other is not query:
                    query.replace(other)

    # -- queries within, computed first -------------------------------------------------------

    def _stage_big(self, select: exp.Select) -> None:
        """Compute queries within first that every worker would else compute of big tables."""
        for query in self._apart_from(select):
            if self._is_flat(query) or not shape.is_heavy(query):
                continue
            try:
                cut, _judge = choose(select, self._steps.tables, self._vocabulary, self._limits)
            except NotProvable:
                return
            whole = {name for name in shape.read(query) if name in self._steps.tables} - cut
            if sum(self._steps.tables[name].size for name in whole) > _BIG:
                self._stage(query)

    def _is_flat(self, query: exp.Query) -> bool:
        """Whether a source is a SELECT that makes each of its rows of one row of its own sources."""
        inner = query.this if isinstance(query, exp.Subquery) else query
        if not isinstance(query.parent, exp.From | exp.Join) or not isinstance(inner, exp.Select):
            return False
        clauses = ("distinct", "group", "limit", "offset", "qualify")
        return (
            not any(inner.args.get(clause) for clause in clauses)
            and not any(part.find(exp.Window) for part in shape.parts(inner))
            and not any(shape.groups(part, self._vocabulary) for part in shape.parts(inner))
            and all(isinstance(node, exp.Table) for node in from_of(inner))
        )

    def _stage_one(self, select: exp.Select) -> bool:
        """Compute one query within first; False if there is none."""
        for query in self._apart_from(select):
            self._stage(query)
            return True
        return False

    def _apart_from(self, select: exp.Select) -> list[exp.Query]:
        """Return the queries in WHERE and FROM that read tables and see nothing around them."""
        rows = remote(select)
        where = [query for query in shape.inner(select) if self._remote(query)]
        wanted = {write(query) for query in shape.inner(rows)}
        free = [
            query
            for query in where
            if write(query) in wanted and not shape.sources(query) - shape.read(query)
        ]
        return sorted(free, key=lambda query: isinstance(query.parent, exp.From | exp.Join))

    def _stage(self, query: exp.Query) -> None:
        """Compute a query first, and read its rows where it stood."""
        inner = query.this if isinstance(query, exp.Subquery) else query
        while isinstance(inner, exp.Subquery):
            inner = inner.this
        names = [each.alias for each in shape.leftmost(inner).expressions]
        central = self._central(inner.copy())
        name = self._steps.add("here", central)
        reader = f"r{len(self._steps.listed)}"
        made = exp.Select(
            expressions=[
                exp.alias_(
                    exp.column(exp.to_identifier(each, quoted=True), table=reader),
                    each,
                    quoted=True,
                )
                for each in names
            ]
        ).from_(exp.alias_(exp.to_table(name), reader, table=True))
        if isinstance(query, exp.Subquery):
            query.set("this", made)
        else:
            query.replace(made)

    # -- rows brought together ----------------------------------------------------------------

    def _gathered(self, select: exp.Select, why: str) -> exp.Expr:
        """Bring the rows and columns of each table that a SELECT needs together."""
        self._why = self._why or why
        self._kinds.append("gather")
        # What filters one of them may be of another: all are looked at before any is replaced.
        wanted = {name: self._fragment(select, name) for name in sorted(self._remote(select))}
        for name, made in wanted.items():
            gathering.settle(select, name, self._vocabulary)
            self._steps.read(select, name, self._steps.add("gather", made, frozenset([name])))
        return select

    def _fragment(self, select: exp.Select, name: str) -> exp.Select:
        """Return what is brought here of a table."""
        tables = self._steps.tables
        large = self._limits.keys and tables[name].size > self._limits.large
        keys = self._reducer.keys(select, name) if large else None
        made = filtered(select, name, tables, self._vocabulary, keys)
        try:
            choose(made, tables, self._vocabulary, self._limits)
        except NotProvable:
            return gathering.fragment(select, name, tables[name], self._vocabulary)
        return made

    # -- small things -------------------------------------------------------------------------

    def _counted(self, select: exp.Select) -> exp.Select | None:
        return counted(select, self._steps.tables, self._vocabulary)

    def _remote(self, node: exp.Expr) -> set[str]:
        return self._steps.remote(node)
