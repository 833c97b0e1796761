"""Aggregates within aggregates: the inner ones are worked out first, by a query of their own. Pure.

    SELECT kind, sum(x - min(x)) FROM t WHERE w GROUP BY kind

becomes

    SELECT kind, sum(x - s.__a0) FROM t
    JOIN (SELECT kind AS __k0, min(x) AS __a0 FROM t WHERE w GROUP BY kind) s
    ON s.__k0 IS NOT DISTINCT FROM kind
    WHERE w GROUP BY kind

DuckDB refuses such queries, so none that it accepts is touched.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.errors import SQLError
from fscache.grid.sql.dialect import write

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_PREFIX = "__fscache"
AGGREGATES = frozenset({"any_value", "avg", "count", "histogram", "list", "max", "min", "sum"})
"""The ones that our own functions are made of; DuckDB has a list of all."""


def unnest(select: exp.Select, known: Collection[str]) -> None:
    """Move aggregates that stand within others into a sub-query, in place."""
    inner = [
        call for call in _calls(select, known) if _depth(call, known) == 1 and _of(call) is select
    ]
    if not inner:
        return
    keys = group_keys(select)
    wanted: dict[str, exp.Expr] = {}
    for call in inner:
        wanted.setdefault(write(call), call.copy())
    alias = fresh(select)
    sub = exp.select(
        *(exp.alias_(key.copy(), f"__k{n}") for n, key in enumerate(keys)),
        *(exp.alias_(call, f"__a{n}") for n, call in enumerate(wanted.values())),
    )
    copy_source(select, sub)
    if keys:
        sub.group_by(*(key.copy() for key in keys), copy=False)
    place = {text: n for n, text in enumerate(wanted)}
    for call in inner:
        call.replace(exp.column(f"__a{place[write(call)]}", table=alias))
    unnest(sub, known)
    join(select, sub, alias, keys)


def nested(statement: exp.Expr, known: Collection[str]) -> bool:
    """Whether there is an aggregate within another one."""
    return any(_depth(call, known) for call in _calls(statement, known))


def aggregates(select: exp.Select, known: Collection[str]) -> list[exp.Expr]:
    """Return the aggregates of a SELECT itself; those over windows are none."""
    return [call for call in _calls(select, known) if _of(call) is select]


def is_aggregate(call: exp.Expr, known: Collection[str]) -> bool:
    """Whether this makes one value of many rows."""
    named = isinstance(call, exp.Anonymous) and call.name.lower() in known
    if not named and not isinstance(call, exp.AggFunc):
        return False
    above = call.parent.parent if isinstance(call.parent, exp.Filter) else call.parent
    return not isinstance(above, exp.Window)


def group_keys(select: exp.Select) -> list[exp.Expr]:
    """Return what a SELECT is grouped by, written out where it is a number or an alias.

    Raises:
        SQLError: it is grouped in several ways at once.
    """
    group = select.args.get("group")
    if group is None:
        return []
    if any(group.args.get(kind) for kind in ("all", "rollup", "cube", "grouping_sets")):
        raise SQLError("an aggregate within another one needs a plain GROUP BY")
    named = {item.alias.lower(): item.this for item in select.expressions if item.alias}
    keys = []
    for key in group.expressions:
        if isinstance(key, exp.Literal) and key.is_int:
            chosen = select.expressions[int(key.this) - 1]
        elif isinstance(key, exp.Column) and not key.table:
            chosen = named.get(key.name.lower(), key)
        else:
            chosen = key
        keys.append(chosen.unalias())
    return keys


def copy_source(select: exp.Select, target: exp.Select) -> None:
    """Have `target` read the rows that `select` reads."""
    for name in ("from_", "joins", "where"):
        clause = select.args.get(name)
        if clause is not None:
            copies = [each.copy() for each in clause] if isinstance(clause, list) else clause.copy()
            target.set(name, copies)


def join(
    select: exp.Select,
    sub: exp.Select,
    alias: str,
    keys: Sequence[exp.Expr],
    *,
    side: str | None = None,
) -> None:
    """Join a sub-query that has a row for each group, or one in all."""
    pairs = [
        exp.NullSafeEQ(this=exp.column(f"__k{n}", table=alias), expression=exp.paren(key.copy()))
        for n, key in enumerate(keys)
    ]
    select.join(
        sub.subquery(alias),
        on=exp.and_(*pairs) if pairs else None,
        join_type=(side or "inner") if pairs else "cross",
        copy=False,
    )


def fresh(select: exp.Select) -> str:
    """Return a name that no table of the statement has."""
    taken = {table.alias_or_name for table in select.root().find_all(exp.Table, exp.Subquery)}
    return next(name for n in count() if (name := f"{_PREFIX}{n}") not in taken)


def _calls(node: exp.Expr, known: Collection[str]) -> Iterator[exp.Expr]:
    return (call for call in node.find_all(exp.AggFunc, exp.Anonymous) if is_aggregate(call, known))


def _of(call: exp.Expr) -> exp.Select | None:
    return call.find_ancestor(exp.Select)


def _depth(call: exp.Expr, known: Collection[str]) -> int:
    """Return in how many other aggregates of its SELECT one stands."""
    depth = 0
    above = call.parent
    while above is not None and not isinstance(above, exp.Query):
        depth += is_aggregate(above, known)
        above = above.parent
    return depth
