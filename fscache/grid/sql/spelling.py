"""What a SELECT leaves unsaid, written out: stars, positions, ALL, aliases, USING. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.facts import NotProvable
from fscache.grid.sql.scopes import Origin, Scope, column_of, find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fscache.grid.sql.vocabulary import Vocabulary


def expand_stars(select: exp.Select, scope: Scope) -> None:
    """Put columns in place of stars."""
    expanded: list[exp.Expr] = []
    for item in select.expressions:
        star = item.this if isinstance(item, exp.Column) else item
        if not isinstance(star, exp.Star):
            expanded.append(item)
            continue
        if shape.given(star) or not scope.origins:
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


def put_positions(select: exp.Select, vocabulary: Vocabulary) -> None:
    """Put expressions in place of their positions, and of ALL, in GROUP BY and ORDER BY."""
    group = select.args.get("group")
    order = select.args.get("order")
    items: list[exp.Expr] = []
    if group is not None:
        if set(shape.given(group)) - {"expressions", "all"}:
            raise NotProvable("GROUP BY with more to it")
        if group.args.get("all"):
            _group_by_all(select, vocabulary)
        items += group.expressions
    if order is not None:
        if set(shape.given(order)) - {"expressions"}:
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
            # What is put there is resolved, and the resolver passes over it.
            item.replace(meant.copy())


def meant_by(
    column: exp.Column,
    scope: Scope,
    aliases: Mapping[str, exp.Expr | None],
) -> exp.Expr:
    """Return what a name stands for: a column, a field of one, or what is called by an alias."""
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


def equal_columns(using: list[exp.Expr], before: list[Origin], new: Origin) -> list[exp.Expr]:
    """Return the conditions that USING stands for; the columns of `new` in it are seen no more."""
    conditions: list[exp.Expr] = []
    for identifier in using:
        key = identifier.name.lower()
        left = [each for each in before if key in each.columns and key not in each.hidden]
        if len(left) != 1 or not left[0].columns[key] or not new.columns.get(key):
            raise NotProvable("USING of a column that is not clear")
        conditions.append(exp.EQ(this=column_of(left[0], key), expression=column_of(new, key)))
        new.hidden.add(key)
    return conditions


def name_columns(query: exp.Expr, names: list[str | None], wanted: list[str]) -> list[str | None]:
    """Give the columns of a query the names that an alias lists."""
    if not wanted:
        return names
    if not isinstance(query, exp.Select) or len(wanted) > len(names):
        raise NotProvable("columns renamed of something other than a SELECT")
    for projection, name in zip(query.expressions, wanted, strict=False):
        projection.set("alias", exp.to_identifier(name, quoted=True))
    return [*(name.lower() for name in wanted), *names[len(wanted) :]]


def _group_by_all(select: exp.Select, vocabulary: Vocabulary) -> None:
    keys = []
    for projection in select.expressions:
        found = shape.traits(projection.this, vocabulary)
        if found.movable:
            if not isinstance(projection.this, exp.Literal):
                keys.append(projection.this.copy())
        elif found.top is None or found.top.name not in vocabulary.aggregates:
            raise NotProvable("GROUP BY ALL with more than columns and aggregates")
    select.set("group", exp.Group(expressions=keys) if keys else None)
