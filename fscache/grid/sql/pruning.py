"""Which shards of a table can have rows that count, by what is known of their values. Pure.

A shard is left out only if a condition, without which its rows are of no account, is true of none of
them: comparisons of a column with a constant, BETWEEN, IN, IS [NOT] NULL, and AND and OR of those. Of
anything else (NOT, <>, casts, functions, other columns) nothing is concluded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.conditions import alone, block_of, decides
from fscache.grid.sql.dialect import write
from fscache.grid.sql.facts import Chosen
from fscache.grid.sql.spans import Span, constant, is_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.vocabulary import Vocabulary

_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}


class Pruner:
    """Judges shards, for one query."""

    def __init__(self, vocabulary: Vocabulary, parameters: Mapping[str, Any]) -> None:
        """Judge.

        Args:
            vocabulary: The functions there are; it also works out constants.
            parameters: Values of the query's parameters.
        """
        self._vocabulary = vocabulary
        self._parameters = parameters

    def portions(self, tree: exp.Expr, cut: Mapping[str, Source]) -> Chosen | None:
        """Return the numbers of the shards that a step needs of what it cuts; None if it needs all."""
        count = next((source.shards for source in cut.values()), 0)
        left = set(range(count))
        for name, source in cut.items():
            if decides(tree, name, self._vocabulary):
                left &= set(self._needed(tree, name, source))
        return _chosen(left, count)

    def whole(self, tree: exp.Expr, name: str, source: Source) -> Chosen | None:
        """Return the numbers of the shards that a query needs of one source; None if it needs all."""
        return _chosen(set(self._needed(tree, name, source)), source.shards)

    def _needed(self, tree: exp.Expr, name: str, source: Source) -> list[int]:
        numbers = list(range(source.shards))
        if source.spans is None or source.shards < 2 or block_of(tree, name) is None:
            return numbers
        judged = _Judged(source, self._value)
        for condition in alone(tree, name):
            numbers = [number for number in numbers if judged.may_hold(condition, number)]
        return numbers

    def _value(self, node: exp.Expr, kind: str) -> Any:
        """Return a constant, as it can be compared with a column of a kind; None if it cannot."""
        if node.find(exp.Column, exp.Collate) or not shape.movable(node, self._vocabulary):
            return None
        text = write(node)
        if isinstance(node, exp.Literal) and node.is_string and is_time(kind):
            text = f"CAST({text} AS {kind})"
        known = self._vocabulary.constant(text, self._parameters)
        return None if known is None else constant(kind, *known)


class _Judged:
    def __init__(self, source: Source, value: Callable[[exp.Expr, str], Any]) -> None:
        self._source = source
        self._value = value
        self._spans: dict[str, list[Span]] = {}
        self._values: dict[tuple[int, str], Any] = {}

    def may_hold(self, condition: exp.Expr, number: int) -> bool:
        """Whether a condition may be true of a row of a shard."""
        match condition:
            case exp.Paren():
                return self.may_hold(condition.this, number)
            case exp.And():
                return all(
                    self.may_hold(each, number) for each in (condition.left, condition.right)
                )
            case exp.Or():
                return any(
                    self.may_hold(each, number) for each in (condition.left, condition.right)
                )
            case exp.Not(this=exp.Is(this=exp.Column() as column, expression=exp.Null())):
                return self._span(column, number).values
            case exp.Is(this=exp.Column() as column, expression=exp.Null()):
                return self._span(column, number).nulls
            case exp.Between() if set(shape.given(condition)) == {"this", "low", "high"}:
                return self._between(condition, number)
            case exp.In() if condition.expressions and set(condition.args) <= {
                "this",
                "expressions",
            }:
                return any(
                    self._compare(exp.EQ, condition.this, each, number)
                    for each in condition.expressions
                )
            case exp.EQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
                kind = type(condition)
                return self._compare(
                    kind, condition.left, condition.right, number
                ) and self._compare(_MIRRORED[kind], condition.right, condition.left, number)
        return True

    def _between(self, condition: exp.Between, number: int) -> bool:
        bounds = {exp.GTE: condition.args["low"], exp.LTE: condition.args["high"]}
        column = condition.this
        if not isinstance(column, exp.Column) or any(
            self._constant(each, column.name) is None for each in bounds.values()
        ):
            return True  # all three become one type, which may be another one
        return all(self._compare(kind, column, each, number) for kind, each in bounds.items())

    def _compare(self, kind: type[exp.Expr], left: exp.Expr, right: exp.Expr, number: int) -> bool:
        if not isinstance(left, exp.Column):
            return True
        span = self._span(left, number)
        if not span.values:
            return False
        value = self._constant(right, left.name)
        if value is None or span.low is None:
            return True
        if kind is exp.EQ:
            return bool(span.low <= value <= span.high)
        if kind in (exp.LT, exp.LTE):
            return bool(span.low < value or (kind is exp.LTE and span.low == value))
        return bool(span.nan or span.high > value or (kind is exp.GTE and span.high == value))

    def _span(self, column: exp.Column, number: int) -> Span:
        found = self._spans.get(column.name)
        if found is None:
            assert self._source.spans is not None  # noqa: S101 - who asks has looked
            found = self._spans[column.name] = self._source.spans.of(column.name)
        return found[number]

    def _constant(self, node: exp.Expr, column: str) -> Any:
        key = (id(node), column)
        if key not in self._values:
            self._values[key] = self._value(node, self._source.columns[column])
        return self._values[key]


def _chosen(numbers: set[int], count: int) -> Chosen | None:
    if len(numbers) == count:
        return None
    # Something has to say what columns there are.
    return Chosen(tuple(sorted(numbers)) or (0,), count)
