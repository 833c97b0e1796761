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
from fscache.grid.sql.scopes import Names, Origin, Scope, column_of, columns_named, find

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


@dataclass
class _With:
    query: exp.Query
    env: dict[str, _With]
    columns: list[str]
    relation: str | None = None  # once it is one of `Resolved.shared`
    names: list[str | None] = field(default_factory=list)


def resolve(tree: exp.Query, sources: Mapping[str, Source], vocabulary: Vocabulary) -> Resolved:
    """Return a query with clear names; raises NotProvable. The tree given is left as it is."""
    resolver = _Resolver(sources, vocabulary)
    made = tree.copy()
    resolver.query(made, None, {})
    resolver.found.tree = made
    return resolver.found


class _Resolver:
    def __init__(self, sources: Mapping[str, Source], vocabulary: Vocabulary) -> None:
        self._sources = sources
        self._vocabulary = vocabulary
        self._count = 0
        self.found = Resolved(exp.Select())

    def query(
        self, node: exp.Expr, outer: Scope | None, env: Mapping[str, _With]
    ) -> list[str | None]:
        """Resolve a query in place; return the names of its columns."""
        env = self._with(node, env)
        if isinstance(node, exp.Subquery):
            if set(_given(node)) - {"this", "order", "limit", "offset"}:
                raise NotProvable("a query in parentheses with more to it")
            return self.query(node.this, outer, env)
        if isinstance(node, exp.SetOperation):
            return self._set(node, outer, env)
        if isinstance(node, exp.Select):
            return self._select(node, outer, env)
        raise NotProvable(f"a query of the kind {type(node).__name__}")

    def _with(self, node: exp.Expr, env: Mapping[str, _With]) -> dict[str, _With]:
        known = dict(env)
        found = node.args.get("with_")
        if found is None:
            return known
        if found.args.get("recursive"):
            raise NotProvable("WITH RECURSIVE")
        for cte in found.expressions:
            if set(_given(cte)) - {"this", "alias", "materialized"}:
                raise NotProvable("WITH with more to it")
            columns = [column.name for column in cte.args["alias"].columns]
            known[cte.alias.lower()] = _With(cte.this, dict(known), columns)
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
        self, node: exp.SetOperation, outer: Scope | None, env: Mapping[str, _With]
    ) -> list[str | None]:
        allowed = {"this", "expression", "distinct", "order", "limit", "offset"}
        if set(_given(node)) - allowed:
            raise NotProvable("a set operation by name, or with more to it")
        order = node.args.get("order")
        if order is not None and any(column.table for column in order.find_all(exp.Column)):
            raise NotProvable("a set operation ordered by more than its columns")
        names = self.query(node.this, outer, env)
        self.query(node.expression, outer, env)
        return names

    # -- SELECT -------------------------------------------------------------------------------

    def _select(
        self, select: exp.Select, outer: Scope | None, env: Mapping[str, _With]
    ) -> list[str | None]:
        unknown = set(_given(select)) - shape.CLAUSES
        if unknown:
            raise NotProvable(f"SELECT with {', '.join(sorted(unknown))}")
        scope = Scope(outer)
        start = select.args.get("from_")
        if start is not None:
            self._origin(start.this, scope, env)
        for join in select.args.get("joins") or []:
            self._join(join, scope, env)
        self._expand_stars(select, scope)
        aliases = self._projections(select, scope, env)
        self._positions(select)
        for clause in ("where", "group", "having", "qualify", "order", "distinct"):
            node = select.args.get(clause)
            if node is not None:
                self._expression(node, scope, env, aliases)
        return [projection.alias.lower() or None for projection in select.expressions]

    def _origin(self, node: exp.Expr, scope: Scope, env: Mapping[str, _With]) -> None:
        if set(_given(node)) - {"this", "alias"}:
            raise NotProvable(f"a source with more to it: {', '.join(_given(node))}")
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
            names = self._named(inner, self.query(inner, None, entry.env), entry.columns)
            node.replace(_derived(inner, name))
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            inner = node.this
            names = self.query(inner, scope.parent, env)
            node.replace(_derived(inner, name))
        else:
            raise NotProvable(f"a source of the kind {type(node).__name__}")
        names = self._named(inner, names, renamed)
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
        entry: _With,
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
            entry.names = self._named(query, names, entry.columns)
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

    def _named(
        self, query: exp.Expr, names: list[str | None], wanted: list[str]
    ) -> list[str | None]:
        """Give the columns of a query the names that an alias lists."""
        if not wanted:
            return names
        if not isinstance(query, exp.Select) or len(wanted) > len(names):
            raise NotProvable("columns renamed of something other than a SELECT")
        for projection, name in zip(query.expressions, wanted, strict=False):
            projection.set("alias", exp.to_identifier(name, quoted=True))
        return [*(name.lower() for name in wanted), *names[len(wanted) :]]

    def _join(self, join: exp.Join, scope: Scope, env: Mapping[str, _With]) -> None:
        if set(_given(join)) - {"this", "on", "using", "side", "kind"}:
            raise NotProvable("a join of a kind of its own")
        before = list(scope.origins)
        self._origin(join.this, scope, env)
        new = scope.origins[-1]
        using = join.args.get("using")
        if using:
            if join.side not in ("", "LEFT") or join.kind not in ("", "INNER", "LEFT", "OUTER"):
                raise NotProvable("USING in a join that may lack the left side")
            conditions = []
            for identifier in using:
                key = identifier.name.lower()
                left = [each for each in before if key in each.columns and key not in each.hidden]
                if len(left) != 1 or not left[0].columns[key] or not new.columns.get(key):
                    raise NotProvable("USING of a column that is not clear")
                conditions.append(
                    exp.EQ(this=column_of(left[0], key), expression=column_of(new, key))
                )
                new.hidden.add(key)
            join.set("using", None)
            join.set("on", exp.and_(*conditions))
        elif join.args.get("on") is not None:
            self._expression(join.args["on"], scope, env, {})
        if join.kind in ("SEMI", "ANTI"):
            scope.origins.pop()  # its columns are seen by the condition alone

    # -- what stands in a SELECT --------------------------------------------------------------

    def _expand_stars(self, select: exp.Select, scope: Scope) -> None:
        expanded: list[exp.Expr] = []
        for item in select.expressions:
            star = item.this if isinstance(item, exp.Column) else item
            if not isinstance(star, exp.Star):
                expanded.append(item)
                continue
            if _given(star) or not scope.origins:
                raise NotProvable("a star with more to it")
            wanted = item.table.lower() if isinstance(item, exp.Column) else None
            origins = [each for each in scope.origins if wanted in (None, each.said)]
            if not origins or (wanted and any(each.hidden for each in origins)):
                raise NotProvable("a star of an unknown source")
            for origin in origins:
                for key, name in origin.columns.items():
                    if name is None:
                        raise NotProvable("a star over two columns of one name")
                    if key not in origin.hidden:
                        expanded.append(exp.alias_(column_of(origin, key), key, quoted=True))
        select.set("expressions", expanded)

    def _projections(
        self, select: exp.Select, scope: Scope, env: Mapping[str, _With]
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

    def _positions(self, select: exp.Select) -> None:
        """Put expressions in place of their positions, and of ALL, in GROUP BY and ORDER BY."""
        group = select.args.get("group")
        order = select.args.get("order")
        items: list[exp.Expr] = []
        if group is not None:
            if set(_given(group)) - {"expressions", "all"}:
                raise NotProvable("GROUP BY with more to it")
            if group.args.get("all"):
                self._group_by_all(select)
            items += group.expressions
        if order is not None:
            if set(_given(order)) - {"expressions"}:
                raise NotProvable("ORDER BY with more to it")
            items += [ordered.this for ordered in order.expressions]
        for item in items:
            if isinstance(item, exp.Var):
                raise NotProvable("ORDER BY ALL")
            if isinstance(item, exp.Literal) and not item.is_string:
                position = int(item.name) - 1 if item.name.isdigit() else -1
                if not 0 <= position < len(select.expressions):
                    raise NotProvable("a position that is not there")
                meant = select.expressions[position].this
                if isinstance(meant, exp.Literal):
                    raise NotProvable("a number that would be taken for a position")
                # What is put there is resolved, and `_expression` passes over it.
                item.replace(meant.copy())

    def _group_by_all(self, select: exp.Select) -> None:
        keys = []
        for projection in select.expressions:
            found = shape.traits(projection.this, self._vocabulary)
            if found.movable:
                if not isinstance(projection.this, exp.Literal):
                    keys.append(projection.this.copy())
            elif found.top is None or found.top.name not in self._vocabulary.aggregates:
                raise NotProvable("GROUP BY ALL with more than columns and aggregates")
        select.set("group", exp.Group(expressions=keys) if keys else None)

    def _expression(
        self,
        node: exp.Expr,
        scope: Scope,
        env: Mapping[str, _With],
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
                column.replace(self._look(column, scope, aliases))
        for query in queries:
            self.query(query, scope, env)

    def _look(
        self,
        column: exp.Column,
        scope: Scope,
        aliases: Mapping[str, exp.Expr | None],
    ) -> exp.Expr:
        parts = [part.name for part in column.parts]
        if isinstance(column.this, exp.Star) or not all(parts):
            raise NotProvable("a star within an expression")
        first = parts[0].lower()
        if len(parts) == 1 and first in aliases:
            alias = aliases[first]
            own = alias is not None and isinstance(alias, exp.Column)
            same = own and alias is not None and alias.name.lower() == first
            if any(first in origin.columns for origin in scope.origins) and not same:
                raise NotProvable(f"{parts[0]} may be a column or an alias")
            if isinstance(alias, exp.Literal):
                raise NotProvable("a number that could be taken for a position")
            if alias is None:
                raise NotProvable(f"two columns of the result are called {parts[0]}")
            return exp.paren(alias.copy()) if not own else alias.copy()
        here: Scope | None = scope
        while here is not None:
            found = find(parts, here)
            if found is not None:
                return found
            here = here.parent
        raise NotProvable(f"nothing is known of {'.'.join(parts)}")

    def _fresh(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count - 1}"


def _derived(query: exp.Expr, name: str) -> exp.Subquery:
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(name)))


def _given(node: exp.Expr) -> list[str]:
    """Return the names of a node's arguments that say anything."""
    return [name for name, value in node.args.items() if value not in (None, False, [], "")]
