"""What every name of a query stands for. Pure.

Afterwards each source has a name of its own in the whole query (`s0`, `s1` …), each column says which
source it is of, and stars, references to aliases, positions and USING are written out, so that parts can
be moved without changing what they mean. Where DuckDB's rules for what a name means leave the slightest
doubt, NotProvable is raised, and the query is answered some other way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.facts import NotProvable
from fscache.grid.sql.scopes import Names, Origin, Scope, With, columns_named
from fscache.grid.sql.spelling import (
    equal_columns,
    expand_stars,
    meant_by,
    name_columns,
    put_positions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.vocabulary import Vocabulary


@dataclass
class Resolved:
    """A query whose names are clear.

    Attributes:
        tree: The query.
        tables: Names of tables by source.
        shared: Queries that several sources read (WITH), by the name of the relation they are to be, in
            an order in which each only needs earlier ones.
        readers: Names of these relations by source.
    """

    tree: exp.Query
    tables: dict[str, str] = field(default_factory=dict)
    shared: dict[str, exp.Query] = field(default_factory=dict)
    readers: dict[str, str] = field(default_factory=dict)


def resolve(tree: exp.Query, sources: Mapping[str, Source], vocabulary: Vocabulary) -> Resolved:
    """Return a query with clear names; raises NotProvable. The tree given is left as it is."""
    resolver = _Resolver(sources, vocabulary)
    made = tree.copy()
    resolver.query(made, None, {})
    shape.lighten(made)
    resolver.found.tree = made
    return resolver.found


class _Resolver:
    def __init__(self, sources: Mapping[str, Source], vocabulary: Vocabulary) -> None:
        self._sources = sources
        self._vocabulary = vocabulary
        self._count = 0
        self.found = Resolved(exp.Select())

    def query(
        self, node: exp.Expr, outer: Scope | None, env: Mapping[str, With]
    ) -> list[str | None]:
        """Resolve a query in place; return the names of its columns."""
        env = self._with(node, env)
        if isinstance(node, exp.Subquery):
            if set(shape.given(node)) - {"this", "order", "limit", "offset"}:
                raise NotProvable("a query in parentheses with more to it")
            return self.query(node.this, outer, env)
        if isinstance(node, exp.SetOperation):
            return self._set(node, outer, env)
        if isinstance(node, exp.Select):
            return self._select(node, outer, env)
        raise NotProvable(f"a query of the kind {type(node).__name__}")

    def _with(self, node: exp.Expr, env: Mapping[str, With]) -> dict[str, With]:
        known = dict(env)
        found = node.args.get("with_")
        if found is None:
            return known
        if found.args.get("recursive"):
            raise NotProvable("WITH RECURSIVE")
        for cte in found.expressions:
            if set(shape.given(cte)) - {"this", "alias", "materialized"}:
                raise NotProvable("WITH with more to it")
            columns = [column.name for column in cte.args["alias"].columns]
            known[cte.alias.lower()] = With(cte.this, dict(known), columns)
        node.set("with_", None)
        for name, entry in known.items():
            uses = sum(table.name.lower() == name for table in node.find_all(exp.Table)) + sum(
                table.name.lower() == name
                for other in known.values()
                for table in other.query.find_all(exp.Table)
            )
            if entry.relation is None and uses > 1 and shape.is_heavy(entry.query):
                entry.relation = self._fresh("w")
        return known

    def _set(
        self, node: exp.SetOperation, outer: Scope | None, env: Mapping[str, With]
    ) -> list[str | None]:
        allowed = {"this", "expression", "distinct", "order", "limit", "offset"}
        if set(shape.given(node)) - allowed:
            raise NotProvable("a set operation by name, or with more to it")
        order = node.args.get("order")
        if order is not None and any(column.table for column in order.find_all(exp.Column)):
            raise NotProvable("a set operation ordered by more than its columns")
        names = self.query(node.this, outer, env)
        self.query(node.expression, outer, env)
        return names

    # -- SELECT -------------------------------------------------------------------------------

    def _select(
        self, select: exp.Select, outer: Scope | None, env: Mapping[str, With]
    ) -> list[str | None]:
        unknown = set(shape.given(select)) - shape.CLAUSES
        if unknown:
            raise NotProvable(f"SELECT with {', '.join(sorted(unknown))}")
        scope = Scope(outer)
        start = select.args.get("from_")
        if start is not None:
            self._origin(start.this, scope, env)
        for join in select.args.get("joins") or []:
            self._join(join, scope, env)
        expand_stars(select, scope)
        aliases = self._projections(select, scope, env)
        put_positions(select, self._vocabulary)
        for clause in ("where", "group", "having", "qualify", "order", "distinct"):
            node = select.args.get(clause)
            if node is not None:
                self._expression(node, scope, env, aliases)
        return [projection.alias.lower() or None for projection in select.expressions]

    def _origin(self, node: exp.Expr, scope: Scope, env: Mapping[str, With]) -> None:
        if set(shape.given(node)) - {"this", "alias"}:
            raise NotProvable(f"a source with more to it: {', '.join(shape.given(node))}")
        alias = node.args.get("alias")
        renamed = [column.name for column in alias.columns] if alias is not None else []
        name = self._fresh("s")
        said = node.alias_or_name.lower()
        if isinstance(node, exp.Table):
            entry = env.get(node.name.lower())
            if entry is None:
                self._table(node, name, scope, said, renamed)
                return
            if entry.relation is not None:
                self._read(entry, node, name, scope=scope, said=said, renamed=renamed)
                return
            inner: exp.Expr = entry.query.copy()
            names = name_columns(inner, self.query(inner, None, entry.env), entry.columns)
            node.replace(shape.derived(inner, name))
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            inner = node.this
            names = self.query(inner, scope.parent, env)
            node.replace(shape.derived(inner, name))
        else:
            raise NotProvable(f"a source of the kind {type(node).__name__}")
        names = name_columns(inner, names, renamed)
        if inner.meta.get("doubled"):
            raise NotProvable("a source with two columns of one name")
        self._add(scope, Origin(name, said, columns_named(names)))

    def _table(
        self, node: exp.Table, name: str, scope: Scope, said: str, renamed: list[str]
    ) -> None:
        source = self._sources.get(node.name)
        if source is None:
            raise NotProvable(f"an unknown table {node.name}")
        self.found.tables[name] = node.name
        actual = list(source.columns)
        asked = [*renamed, *actual[len(renamed) :]]
        columns: Names = {}
        for want, have in zip(asked, actual, strict=False):
            columns[want.lower()] = None if want.lower() in columns else have
        node.replace(exp.to_table(name, dialect=None))
        self._add(scope, Origin(name, said, columns))

    def _read(
        self,
        entry: With,
        node: exp.Table,
        name: str,
        *,
        scope: Scope,
        said: str,
        renamed: list[str],
    ) -> None:
        relation = entry.relation or ""
        if relation not in self.found.shared:
            query = entry.query.copy()
            names = self.query(query, None, entry.env)
            entry.names = name_columns(query, names, entry.columns)
            shape.lighten(query)
            self.found.shared[relation] = query
        actual = entry.names
        asked = [*renamed, *actual[len(renamed) :]]
        columns: Names = {}
        for want, have in zip(asked, actual, strict=False):
            if want is not None:
                columns[want.lower()] = None if want.lower() in columns else have
        self.found.readers[name] = relation
        node.replace(exp.alias_(exp.to_table(relation), name, table=True))
        self._add(scope, Origin(name, said, columns))

    def _add(self, scope: Scope, origin: Origin) -> None:
        if any(origin.said == other.said for other in scope.origins):
            raise NotProvable("two sources of one name")
        scope.origins.append(origin)

    def _join(self, join: exp.Join, scope: Scope, env: Mapping[str, With]) -> None:
        if set(shape.given(join)) - {"this", "on", "using", "side", "kind"}:
            raise NotProvable("a join of a kind of its own")
        before = list(scope.origins)
        self._origin(join.this, scope, env)
        new = scope.origins[-1]
        using = join.args.get("using")
        if using:
            if join.side not in ("", "LEFT") or join.kind not in ("", "INNER", "LEFT", "OUTER"):
                raise NotProvable("USING in a join that may lack the left side")
            conditions = equal_columns(using, before, new)
            join.set("using", None)
            join.set("on", exp.and_(*conditions))
        elif join.args.get("on") is not None:
            self._expression(join.args["on"], scope, env, {})
        if join.kind in ("SEMI", "ANTI"):
            scope.origins.pop()  # its columns are seen by the condition alone

    # -- what stands in a SELECT --------------------------------------------------------------

    def _projections(
        self, select: exp.Select, scope: Scope, env: Mapping[str, With]
    ) -> dict[str, exp.Expr | None]:
        """Resolve the columns of the result, and give each a name; return them by alias."""
        aliases: dict[str, exp.Expr | None] = {}
        made = []
        taken: set[str] = set()
        for number, item in enumerate(select.expressions):
            name = item.alias if isinstance(item, exp.Alias) else ""
            holder = exp.Paren(this=item.this if isinstance(item, exp.Alias) else item)
            bare = item.name if isinstance(item, exp.Column | exp.Dot) else ""
            self._expression(holder, scope, env, aliases)
            value = holder.this
            called = name or bare
            key = called.lower()
            if not called or key in taken:
                called = f"__{number}"  # nothing can mean it
                if key in taken:
                    aliases[key] = None
                    select.meta["doubled"] = True
            elif name:
                aliases[key] = value
            taken.add(called.lower())
            # Not `exp.alias_`: of a query within, it would make a source.
            made.append(exp.Alias(this=value.copy(), alias=exp.to_identifier(called, quoted=True)))
        select.set("expressions", made)
        return aliases

    def _expression(
        self,
        node: exp.Expr,
        scope: Scope,
        env: Mapping[str, With],
        aliases: Mapping[str, exp.Expr | None],
    ) -> None:
        """Resolve columns and queries in an expression, in place."""
        queries: list[exp.Expr] = []
        columns: list[exp.Column] = []
        for found in node.walk(prune=lambda each: isinstance(each, exp.Query | exp.Column)):
            if isinstance(found, exp.Query):
                queries.append(found)
            elif isinstance(found, exp.Column):
                columns.append(found)
            elif isinstance(found, exp.Lambda | exp.Star | exp.Table) and not isinstance(
                found.parent, exp.Count
            ):
                raise NotProvable(f"an expression with {type(found).__name__}")
        for column in columns:
            if not column.meta.get("resolved"):
                column.replace(meant_by(column, scope, aliases))
        for query in queries:
            self.query(query, scope, env)

    def _fresh(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count - 1}"
