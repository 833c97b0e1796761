"""Whether a part of a query may be computed shard by shard. Pure.

Some sources of a query are cut: each worker sees some shards of them, and of all others everything. A
part may be computed so if what it gives, over all workers together, is what it gives over everything.
That holds if rows that meet are never parted: every two cut sources are joined by the keys that they
were dealt by; an outer join keeps rows of a cut source only; and queries within see, for each row, what
lies in its shard. What is not shown here to hold is taken not to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.conditions import join_kind
from fscache.grid.sql.equality import Links, Place, place_of
from fscache.grid.sql.facts import NotProvable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.vocabulary import Vocabulary

_REPEATABLE = {
    *("avg", "bool_and", "bool_or", "count", "count_star", "max", "mean", "min", "sum"),
    "unnest",  # the rows of a list are the same everywhere, if the list is
}


@dataclass
class _Joins:
    """What is known of FROM, as far as it has been read.

    Attributes:
        links: What is equal in every row that is left in the end.
        joined: What is equal in every row of the joins so far.
        own: The keys of the cut sources whose rows are kept.
        nullable: Sources that may be missing from a row.
        seen: All sources so far.
    """

    links: Links
    joined: Links
    own: set[Place] = field(default_factory=set)
    nullable: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)


class Colocation:
    """Judges parts of a query, for one choice of what is cut."""

    def __init__(
        self, cut: frozenset[str], tables: Mapping[str, Source], vocabulary: Vocabulary
    ) -> None:
        """Judge.

        Args:
            cut: The sources that are cut; if there are several, all were dealt alike.
            tables: What is known of each source that is a table.
            vocabulary: The functions there are.
        """
        self._cut = cut
        self._tables = tables
        self._vocabulary = vocabulary
        self._kinds = {
            (source, name): kind
            for source, table in tables.items()
            for name, kind in table.columns.items()
        }

    def check_rows(self, select: exp.Select) -> None:
        """Check that FROM and WHERE may be computed shard by shard; raises NotProvable."""
        self._rows(select, Links(self._kinds), set())

    def check_all(self, select: exp.Select) -> None:
        """Check that all may be, but for ORDER BY, LIMIT and OFFSET; raises NotProvable."""
        bare = select.copy()
        for clause in ("order", "limit", "offset"):
            bare.set(clause, None)
        if self._block(bare, Links(self._kinds), set()) is None:
            raise NotProvable("nothing is cut")

    # -- inside -------------------------------------------------------------------------------

    def _block(self, select: exp.Expr, links: Links, anchors: set[Place]) -> set[str] | None:
        """Check a query.

        Returns:
            The names of its columns that are keys; None if nothing in it is cut.
        """
        while isinstance(select, exp.Subquery) and not select.args.get("alias"):
            select = select.this
        if not self._reads_cut(select):
            self._check_repeatable(select)
            return None
        if not isinstance(select, exp.Select):
            raise NotProvable("a set operation over what is cut")
        inner, own, nullable = self._rows(select, links, anchors)
        self._queries(
            [query for part in shape.parts(select) for query in shape.queries(part)],
            inner,
            anchors | own,
        )
        self._check_steady(*shape.parts(select))
        roots = {inner.root(place) for place in own}
        if anchors and own:
            return set()  # each row of the outer query sees its own shard's rows alone

        def is_key(node: exp.Expr) -> bool:
            place = place_of(node)
            return place is not None and place[0] not in nullable and inner.root(place) in roots

        if select.args.get("limit") or select.args.get("offset"):
            raise NotProvable("LIMIT of what is cut")
        self._check_groups(select, is_key)
        return {
            projection.alias.lower() for projection in select.expressions if is_key(projection.this)
        }

    def _check_groups(self, select: exp.Select, is_key: Callable[[exp.Expr], bool]) -> None:
        group = select.args.get("group")
        grouped = group is not None or any(
            shape.groups(part, self._vocabulary) for part in shape.parts(select)
        )
        if grouped and not (group is not None and any(map(is_key, group.expressions))):
            raise NotProvable("groups that are not of one shard")
        distinct = select.args.get("distinct")
        if distinct is not None:
            on = distinct.args.get("on")
            among = on.expressions if on is not None else [p.this for p in select.expressions]
            if not any(map(is_key, among)):
                raise NotProvable("DISTINCT over more than one shard")
        for part in shape.parts(select):
            for window in part.find_all(exp.Window):
                if not any(map(is_key, window.args.get("partition_by") or [])):
                    raise NotProvable("a window over more than one shard")

    def _rows(
        self, select: exp.Select, outer: Links, anchors: set[Place]
    ) -> tuple[Links, set[Place], set[str]]:
        """Check FROM and WHERE.

        Returns:
            What is equal, the keys of the cut sources, the names of sources that may be missing.
        """
        joins = _Joins(outer.copy(), outer.copy())
        queries: list[exp.Query] = []
        conditions = shape.conjuncts(select.args.get("where"))
        for condition in conditions:
            joins.links.add(condition)
        start = select.args.get("from_")
        for node in [*([start] if start else []), *(select.args.get("joins") or [])]:
            on = shape.conjuncts(node.args.get("on"))
            queries += [query for condition in on for query in shape.queries(condition)]
            self._check_steady(*on)
            self._join(node, on, joins, anchors)
        links, own, nullable = joins.links, joins.own, joins.nullable
        self._check_steady(*conditions)
        self._check_one(own, links, anchors)
        queries += [
            query
            for condition in conditions
            if not self._is_keyed_in(condition, links, own)
            for query in shape.queries(condition)
        ]
        self._queries(queries, links, anchors | own)
        return links, own, nullable

    def _join(self, node: exp.Expr, on: list[exp.Expr], joins: _Joins, anchors: set[Place]) -> None:
        """Take one source into account, FROM's or a join's."""
        name, keys = self._source(node.this)
        places = {(name, key) for key in keys or ()}
        kind = join_kind(node)
        if keys is not None and not keys and (joins.own or anchors):
            raise NotProvable("a join of what is cut, and was not dealt by a key")
        if kind == "full":
            raise NotProvable("a full join")
        if kind == "inner":
            for condition in on:
                joins.links.add(condition)
                joins.joined.add(condition)
        elif kind == "right":
            if joins.own:
                raise NotProvable("an outer join that keeps what is not cut")
            joins.nullable |= joins.seen
        elif keys is not None:
            held = joins.joined.copy()
            for condition in on:
                held.add(condition)
            _check_linked(places, joins.own | anchors, held)
        if kind == "left":
            joins.nullable.add(name)
        joins.seen.add(name)
        if keys is not None and kind in ("inner", "right"):
            if joins.own:
                self._deferred(places, joins.own)
            joins.own |= places or {(name, "")}

    def _deferred(self, places: set[Place], own: set[Place]) -> None:
        """Whether these are joined by their keys is checked when all conditions are known."""
        if any(not column for _source, column in own) or not places:
            raise NotProvable("a join of what is cut, and was not dealt by a key")

    def _check_one(self, own: set[Place], links: Links, anchors: set[Place]) -> None:
        sources = {source for source, _column in own}
        roots = [{links.root(p) for p in own if p[0] == source} for source in sorted(sources)]
        if len(roots) > 1 and not set[Place]().union(*roots[:1]).intersection(*roots):
            raise NotProvable("what is cut is not joined by its keys")
        if anchors and roots:
            outer = {links.root(anchor) for anchor in anchors}
            if not outer & set[Place]().union(*roots[:1]).intersection(*roots):
                raise NotProvable("a query within sees more than one shard")

    def _source(self, node: exp.Expr) -> tuple[str, set[str] | None]:
        """Return a source's name and its keys; None for one that is not cut."""
        name = node.alias_or_name
        if isinstance(node, exp.Table):
            if name not in self._cut:
                return name, None
            dealt = self._tables[name].key
            return name, {dealt.column} if dealt is not None else set()
        found = self._block(node.this, Links(self._kinds), set())
        for key in found or ():
            self._kinds[name, key] = self._key_kind()
        return name, found

    def _key_kind(self) -> str:
        """Return the type of the keys, which is one for all."""
        return next(
            table.columns[table.key.column]
            for source, table in self._tables.items()
            if source in self._cut and table.key is not None
        )

    def _queries(self, queries: list[exp.Query], links: Links, anchors: set[Place]) -> None:
        known = {place for place in anchors if place[1]}
        for query in queries:
            if self._reads_cut(query):
                if not known:
                    raise NotProvable("a query within reads what is cut")
                self._anchored(query, links, known)
            else:
                self._check_repeatable(query)

    def _anchored(self, query: exp.Expr, links: Links, anchors: set[Place]) -> None:
        while isinstance(query, exp.Subquery):
            query = query.this
        if not isinstance(query, exp.Select):
            raise NotProvable("a set operation over what is cut")
        self._block(query, links, anchors)

    def _is_keyed_in(self, condition: exp.Expr, links: Links, own: set[Place]) -> bool:
        """Whether a condition is `key IN (SELECT key …)`, and that query is computed shard by shard."""
        if not isinstance(condition, exp.In) or condition.args.get("query") is None:
            return False
        place = place_of(condition.this)
        query = condition.args["query"].unnest()
        if place is None or links.root(place) not in {links.root(each) for each in own}:
            return False
        if not isinstance(query, exp.Select) or not self._reads_cut(query):
            return False
        if shape.sources(query) - shape.read(query):
            return False
        try:
            found = self._block(query, Links(self._kinds), set())
        except NotProvable:
            return False
        return found is not None and query.expressions[0].alias.lower() in found

    def _reads_cut(self, node: exp.Expr) -> bool:
        return bool(shape.read(node) & self._cut)

    def _check_steady(self, *expressions: exp.Expr) -> None:
        for node in expressions:
            for name in shape.functions(node, self._vocabulary):
                if name not in self._vocabulary.steady:
                    raise NotProvable(f"{name} differs from place to place, or may")

    def _check_repeatable(self, node: exp.Expr) -> None:
        """Check that every worker would get the same from what all of them compute whole."""
        if node.find(exp.Fetch, exp.Limit, exp.Offset, exp.Window, exp.TableSample):
            raise NotProvable("LIMIT or a window, which each worker might compute otherwise")
        distinct = node.find(exp.Distinct)
        if distinct is not None and distinct.args.get("on"):
            raise NotProvable("DISTINCT ON, which each worker might compute otherwise")
        for name in shape.called(node, self._vocabulary):
            if name not in self._vocabulary.scalars and name not in _REPEATABLE:
                raise NotProvable(f"{name}, which each worker might compute otherwise")


def _check_linked(places: set[Place], others: set[Place], links: Links) -> None:
    roots = {links.root(place) for place in others if place[1]}
    if not any(links.root(place) in roots for place in places):
        raise NotProvable("an outer join of what is cut, but not by its keys")
