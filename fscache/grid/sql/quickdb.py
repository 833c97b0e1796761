"""Queries in QuickDB's dialect, as queries in ours. Pure.

What differs is rewritten: NaN compares as in NumPy (false, but for `<>`) and comes last in either order;
`min` and `max` are of finite values; `//` and `%` round down; `column[0]` is the first element; results
without a name are `col0`, `col1`, …; `histogram(x)` has 50 bins; `e` is a constant.

Not taken over are its wrong answers (LIMIT before WHERE, a count of nothing without a row, inexact large
numbers), and the precedence of `//`, which is that of `/` here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from fscache.errors import SQLError
from fscache.grid.sql.dialect import read, write
from fscache.grid.sql.nesting import aggregates, group_keys
from fscache.grid.sql.snippets import evaluate, fill, number, put

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "__group"
"""Before the number of a column that has a key of the group."""

# Not a bare isnan: what is compared may be text, which is never NaN.
_NAN = "(isnan(TRY_CAST(_x AS DOUBLE)) IS TRUE)"
_BUT_NAN = "(_y AND NOT (isnan(TRY_CAST(_x AS DOUBLE)) IS TRUE))"
_OR_NAN = "(_y OR (isnan(TRY_CAST(_x AS DOUBLE)) IS TRUE))"
# NaN is greater than all in DuckDB, so it is the side that may be the greater one that matters.
_GUARDED: dict[type[exp.Expr], tuple[str, str]] = {
    exp.GT: ("this", _BUT_NAN),
    exp.GTE: ("this", _BUT_NAN),
    exp.EQ: ("this", _BUT_NAN),
    exp.Between: ("this", _BUT_NAN),
    exp.LT: ("expression", _BUT_NAN),
    exp.LTE: ("expression", _BUT_NAN),
    exp.NEQ: ("this", _OR_NAN),
}
_ROUNDED: dict[type[exp.Expr], str] = {
    exp.Mod: "(((_a % _b) + _b) % _b)",
    # Exact for whole numbers, which a division by way of doubles is not beyond 2^53.
    exp.IntDiv: "((_a - (((_a % _b) + _b) % _b)) // _b)",
}
_FINITE = "CASE WHEN isfinite(_x) THEN _x END"
_AGGREGATES = frozenset({"crossmatch", "histogram", "histogram2d", "minmax", "sleep"})


@dataclass(frozen=True)
class Translated:
    """A query in our dialect.

    Attributes:
        text: The query.
        names: Of the results, without the keys.
        keys: How many keys of the group come before the results.
        aggregate: Whether a row stands for a group.
        ordered: Whether rows come in an order.
        pause: Seconds that `sleep` asks for.
    """

    text: str
    names: list[str]
    keys: int
    aggregate: bool
    ordered: bool
    pause: float


def translate(query: str, shared: Mapping[str, Any]) -> Translated:
    """Return a query in our dialect.

    Raises:
        SQLError: it is no query of QuickDB's.
    """
    select = read(query)
    if not isinstance(select, exp.Select) or select.args.get("from_") is None:
        raise SQLError("expected SELECT … FROM …", query)
    pause = _sleeps(select, shared)
    grouped = select.args.get("group") is not None
    aggregate = bool(aggregates(select, _AGGREGATES)) or pause > 0
    names = [item.alias or f"col{place}" for place, item in enumerate(select.expressions)]
    _compute(select)
    keys = group_keys(select) if grouped and aggregate else []
    select.set(
        "expressions",
        [
            *(exp.alias_(key.copy(), f"{KEY}{place}") for place, key in enumerate(keys)),
            *(
                exp.alias_(item.unalias(), name, quoted=True)
                for item, name in zip(select.expressions, names, strict=True)
            ),
        ],
    )
    ordered = select.args.get("order") is not None
    return Translated(write(select), names, len(keys), aggregate, ordered, pause)


def _compute(select: exp.Select) -> None:
    """Replace what would give other values, in place."""
    for node in reversed(list(select.walk())):
        if type(node) in _GUARDED:
            side, text = _GUARDED[type(node)]
            if isinstance(node.parent, exp.Not) and isinstance(node, exp.Between):
                # NOT BETWEEN is an operator of its own, which NaN fails too.
                put(node.parent, fill(text, _y=node.parent, _x=node.this))
            elif not isinstance(node.args[side], exp.Literal):
                put(node, fill(text, _y=node, _x=node.args[side]))
        elif type(node) in _ROUNDED:
            put(node, fill(_ROUNDED[type(node)], _a=node.this, _b=node.expression))
        elif isinstance(node, exp.Min | exp.Max):
            node.set("this", fill(_FINITE, _x=node.this))
        elif isinstance(node, exp.Bracket):
            _count_from_zero(node)
        elif isinstance(node, exp.Ordered):
            _nan_last(node)
        elif isinstance(node, exp.Anonymous) and node.name.lower() == "histogram":
            if not any(isinstance(each, exp.Kwarg) for each in node.expressions):
                bins = exp.Kwarg(this=exp.var("bins"), expression=exp.Literal.number(50))
                node.append("expressions", bins)
        elif isinstance(node, exp.Column) and write(node).lower() == "e":
            put(node, number(math.e))


def _count_from_zero(node: exp.Bracket) -> None:
    # sqlglot keeps what is written less one: [0] as -1.
    (index,) = node.expressions
    written = int(evaluate(index, {})) + 1
    if written >= 0:
        node.set("expressions", [exp.Literal.number(written)])


def _nan_last(node: exp.Ordered) -> None:
    order = node.parent
    if isinstance(order, exp.Order):
        place = order.expressions.index(node)
        first = exp.Ordered(this=fill(_NAN, _x=node.this), nulls_first=False)
        order.set("expressions", [*order.expressions[:place], first, *order.expressions[place:]])


def _sleeps(select: exp.Select, shared: Mapping[str, Any]) -> float:
    """Take calls of `sleep` out; return the seconds."""
    total = 0.0
    for call in list(select.find_all(exp.Anonymous)):
        if call.name.lower() == "sleep":
            if len(call.expressions) != 1:
                raise SQLError("sleep takes one argument")
            total += float(evaluate(call.expressions[0], shared))
            put(call, fill("min(0)"))
    return total
