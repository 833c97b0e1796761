"""A SELECT in two halves: what each worker makes of its rows, and what is made of that here. Pure.

`rows` works for every SELECT: the workers compute FROM, WHERE and what can be moved of the rest, and all
aggregates, windows and so on are computed here, over what they would have seen anyway. `two_phase` is for
aggregates that can be computed of their own partial results, which are listed here one by one; an
aggregate that is not listed is never split. For one with DISTINCT the workers group by its argument, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.arrays import MERGED
from fscache.grid.sql.dialect import write
from fscache.grid.sql.facts import NotProvable
from fscache.grid.sql.halves import Carried, Halves, copied, here_of, keys_of, remote, sources_of

if TYPE_CHECKING:
    from fscache.grid.sql.vocabulary import Vocabulary

_SELF_MERGING = {"bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "max", "min", "sum"}
_REPEATS_DO_NOT_MATTER = {"bit_and", "bit_or", "bool_and", "bool_or", "max", "min"}
_MOVED_WHOLE = (
    exp.Between,
    exp.Binary,
    exp.Bracket,
    exp.Case,
    exp.Column,
    exp.Func,
    exp.In,
    exp.Paren,
    exp.Unary,
)
_NAMING = (exp.Identifier, exp.If, exp.Kwarg, exp.PropertyEQ, exp.Slice, exp.Var)  # no values
_MERGED = "__merged"  # stands for the source of what is put together
_CONDITIONAL = (exp.And, exp.Case, exp.Coalesce, exp.If, exp.Or)


def rows(select: exp.Select, step: str, vocabulary: Vocabulary) -> Halves:
    """Take a SELECT apart behind its WHERE; always possible if its rows may be computed apart."""
    carried = Carried(step)
    own = sources_of(select)
    keys = keys_of(select)
    grouped = bool(keys) or any(shape.groups(part, vocabulary) for part in shape.parts(select))
    windows = any(part.find(exp.Window) for part in shape.parts(select))
    far = remote(select)
    enough = None
    kind = "rows" if grouped or windows else "scan"
    if not grouped and not windows:
        enough, kind = _limit(select, far, vocabulary, kind)

    def swap(node: exp.Expr) -> exp.Expr | None:
        if isinstance(node, exp.Query):
            for column in shape.columns(node):
                if column.table in own:
                    column.replace(carried.column(column))
            return node
        if isinstance(node, exp.Column):
            return carried.column(node) if node.table in own else None
        if keys:
            is_key = write(node.unnest()) in keys and shape.movable(node.unnest(), vocabulary)
            return carried.column(node) if is_key and shape.sources(node) else None
        # What a condition guards may fail where the condition does not hold.
        if node.find_ancestor(*_CONDITIONAL) or not _is_value(node):
            return None
        if shape.sources(node) and shape.sources(node) <= own and shape.movable(node, vocabulary):
            return carried.column(node)
        return None

    here = here_of(select, step, swap)
    repeats = select.args.get("distinct") is None or windows
    if grouped:
        repeats = windows or not all(
            shape.traits(each, vocabulary).distinct_only
            for part in shape.parts(select)
            for each in shape.expressions(part)
        )
    if not repeats and enough is None and not here.args.get("qualify"):
        far.set("distinct", exp.Distinct())
    far.set("expressions", carried.projections or [exp.alias_(exp.Literal.number(1), "c0")])
    return Halves(far, here, kind, enough)


def two_phase(select: exp.Select, step: str, vocabulary: Vocabulary) -> Halves:
    """Take a SELECT with aggregates apart so that the workers send partial results.

    Raises:
        NotProvable: some aggregate cannot be split.
    """
    phases = _Phases(select, step, vocabulary)
    here = here_of(select, step, phases.swap)
    for key in phases.keys.values():
        phases.carried.column(key)
    for part in shape.parts(here):
        if shape.groups(part, vocabulary):
            raise NotProvable("an aggregate that is not known")
    if not phases.merged and not phases.keys:
        raise NotProvable("no aggregate")
    if phases.finer and any(each.name in MERGED.values() for each in phases.merged.values()):
        raise NotProvable("an array for each value of DISTINCT")
    for column in list(here.find_all(exp.Column)):
        if column.table == _MERGED:
            column.replace(phases.merged[column.name].copy())
    far = remote(select)
    far.set("expressions", phases.carried.projections)
    keys = phases.keys | phases.finer
    if keys:
        far.set("group", exp.Group(expressions=[key.copy() for key in keys.values()]))
    return Halves(far, here, "two-phase")


def whole(select: exp.Select, step: str, vocabulary: Vocabulary) -> Halves:
    """Have the workers compute all of a SELECT but the order of its rows and LIMIT.

    For one whose groups each lie in one shard.
    """
    carried = Carried(step)
    outputs = [carried.column(each.this) for each in select.expressions]
    distinct = select.args.get("distinct") is not None
    far = select.copy()
    here = exp.Select(
        expressions=[
            exp.alias_(output, each.alias, quoted=True)
            for output, each in zip(outputs, select.expressions, strict=True)
        ]
    ).from_(step)
    size = len(carried.projections)
    order = select.args.get("order")
    if order is not None:
        ordered = order.copy()
        for each in ordered.expressions:
            each.set("this", carried.column(each.this))
        here.set("order", ordered)
        if distinct and len(carried.projections) > size:
            raise NotProvable("DISTINCT ordered by something else")
    for clause in ("order", "limit", "offset"):
        far.set(clause, None)
        if clause != "order":
            here.set(clause, copied(select, clause))
    if order is None or not distinct:
        _limit(select, far, vocabulary, "partition")
    far.set("expressions", carried.projections)
    return Halves(far, here, "partition")


class _Phases:
    """What stands for groups and aggregates in the half that is computed here."""

    def __init__(self, select: exp.Select, step: str, vocabulary: Vocabulary) -> None:
        self.carried = Carried(step)
        self.keys = keys_of(select)
        self.finer: dict[str, exp.Expr] = {}
        """What the workers group by besides: the arguments of aggregates with DISTINCT."""
        self.merged: dict[str, exp.Expr] = {}
        self._own = sources_of(select)
        self._vocabulary = vocabulary
        if not all(shape.movable(key, vocabulary) for key in self.keys.values()):
            raise NotProvable("groups by what cannot be moved")

    def swap(self, node: exp.Expr) -> exp.Expr | None:
        """Return what stands for a part of a SELECT; None to look into it."""
        if isinstance(node, exp.Query):
            if shape.sources(node) & self._own:
                raise NotProvable("a query within an aggregate's SELECT that sees its rows")
            return node
        if isinstance(node, exp.Window):
            raise NotProvable("a window")
        if write(node.unnest()) in self.keys:
            return self.carried.column(node.unnest())
        if isinstance(node, exp.Column) and node.table in self._own:
            raise NotProvable("a column that is no group")
        if isinstance(node, exp.Filter | exp.Func) and not isinstance(node, _NAMING):
            aggregate = self._distinct(node) or _aggregate(node, self.carried, self._vocabulary)
            if aggregate is not None:
                name = f"a{len(self.merged)}"
                self.merged[name] = aggregate
                return exp.column(name, table=_MERGED)
        return None

    def _distinct(self, node: exp.Expr) -> exp.Expr | None:
        """Return an aggregate with DISTINCT, of what the workers group by; None if it is none."""
        top = shape.traits(node, self._vocabulary).top
        argument = node.this if isinstance(node, exp.AggFunc) else None
        if (
            top is None
            or top.ordered
            or not top.distinct
            or top.name in _REPEATS_DO_NOT_MATTER
            or not isinstance(argument, exp.Distinct)
            or set(shape.given(argument)) != {"expressions"}
            or len(argument.expressions) != 1
            or len(top.arguments) != 1
            or not all(map(self._vocabulary.judged_movable, top.parts))
        ):
            return None
        value = argument.expressions[0].unnest()
        if not shape.sources(value):
            return None  # GROUP BY would take a number for a column's place
        self.finer[write(value)] = value
        made = node.copy()
        made.this.set("expressions", [self.carried.column(value)])
        return made


# -- inside -----------------------------------------------------------------------------------


def _aggregate(node: exp.Expr, carried: Carried, vocabulary: Vocabulary) -> exp.Expr | None:
    """Return the aggregate as computed of partial ones; None if this is no aggregate."""
    merged = MERGED.get(node.name.lower()) if isinstance(node, exp.Anonymous) else None
    if merged is not None:
        # Of ours, over an aggregate that cannot be split by itself.
        for call in node.expressions[0].find_all(exp.Func):
            inner = shape.traits(call, vocabulary).top
            if inner is not None and all(map(vocabulary.judged_movable, inner.parts)):
                listed = exp.Anonymous(this="list", expressions=[carried.column(node)])
                return exp.Anonymous(this=merged, expressions=[listed])
    top = shape.traits(node, vocabulary).top
    if top is None:
        return None
    if top.ordered or (top.distinct and top.name not in _REPEATS_DO_NOT_MATTER):
        raise NotProvable(f"{top.name} with DISTINCT or ORDER BY")
    if len(top.arguments) > 1 or not all(map(vocabulary.judged_movable, top.parts)):
        raise NotProvable(f"{top.name} of what cannot be moved")
    if top.name in ("count", "count_star"):
        total = exp.Coalesce(
            this=exp.Sum(this=carried.column(node)), expressions=[exp.Literal.number(0)]
        )
        return exp.cast(total, "BIGINT")
    if top.name in ("avg", "mean"):
        summed = exp.Sum(this=carried.column(_instead(node, "SUM")))
        count = exp.Sum(this=carried.column(_instead(node, "COUNT")))
        return exp.Paren(this=exp.Div(this=exp.cast(summed, "DOUBLE"), expression=count))
    if top.name in _SELF_MERGING:
        return exp.Anonymous(this=top.name, expressions=[carried.column(node)])
    raise NotProvable(f"{top.name} cannot be split")


def _instead(node: exp.Expr, name: str) -> exp.Expr:
    """Return the call of an aggregate, with its FILTER, as the call of another one."""
    made = node.copy()
    call = made.this if isinstance(made, exp.Filter) else made
    argument = call.expressions[0] if isinstance(call, exp.Anonymous) else call.this
    other = exp.Anonymous(this=name, expressions=[argument.copy()])
    if isinstance(made, exp.Filter):
        made.set("this", other)
        return made
    return other


def _limit(
    select: exp.Select, remote: exp.Select, vocabulary: Vocabulary, kind: str
) -> tuple[int | None, str]:
    """Have each worker send no more rows than can be in the answer."""
    limit = shape.number(select.args.get("limit"))
    offset = select.args.get("offset")
    skipped = shape.number(offset) if offset is not None else 0
    if limit is None or skipped is None or select.args.get("qualify"):
        return None, kind
    order = select.args.get("order")
    distinct = select.args.get("distinct") is not None
    if kind != "partition" and distinct:
        return None, kind
    if order is not None:
        movable = all(shape.movable(each.this, vocabulary) for each in order.expressions)
        if not movable and kind != "partition":
            return None, kind
        remote.set("order", order.copy())
    remote.limit(limit + skipped, copy=False)
    if kind == "partition":
        return None, kind
    return (limit + skipped if order is None else None), ("scan" if order is None else "top-n")


def _is_value(node: exp.Expr) -> bool:
    return isinstance(node, _MOVED_WHOLE) and not isinstance(node, _NAMING)
