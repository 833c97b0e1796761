"""Which conditions a row of a source must fulfil to count for anything in a query. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql import shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.grid.sql.vocabulary import Vocabulary


def block_of(select: exp.Expr, name: str) -> exp.Select | None:
    """Return the SELECT that has a table in its FROM, by the name of the source."""
    for each in select.find_all(exp.Select):
        if any(isinstance(node, exp.Table) and node.name == name for node in from_of(each)):
            return each
    return None


def from_of(select: exp.Select) -> Iterator[exp.Expr]:
    """Yield the sources in FROM of a SELECT, those of its joins too."""
    start = select.args.get("from_")
    if start is not None:
        yield start.this
        for join in select.args.get("joins") or []:
            yield join.this


def joins_inner(select: exp.Select) -> bool:
    """Whether a SELECT's rows are those of all its sources for which all conditions hold."""
    return all(join_kind(join) == "inner" for join in select.args.get("joins") or [])


def required(select: exp.Expr, name: str) -> list[exp.Expr]:
    """Return the conditions, as they stand in the query, without which a source's row is of no account.

    They may speak of other sources as well, those of the queries around it too. The list is never wrong
    but may be short: of an outer join's sources only the one that may be missing has the conditions of
    its join, and with RIGHT or FULL there are none.
    """
    block = block_of(select, name)
    if block is None:
        return []
    joins = block.args.get("joins") or []
    kinds = _kinds(joins)
    own = kinds.get(name, "inner")
    if any(kind in ("right", "full") for kind in kinds.values()):
        return []
    found = shape.conjuncts(block.args.get("where")) if own == "inner" else []
    for join in joins:
        if (join_kind(join) == "inner" and own == "inner") or join.this.alias_or_name == name:
            found = [*found, *shape.conjuncts(join.args.get("on"))]
    return found


def alone(select: exp.Expr, name: str) -> list[exp.Expr]:
    """Return those of the conditions that speak of the source alone, without queries within."""
    return [
        condition
        for condition in required(select, name)
        if shape.sources(condition) == {name} and not shape.queries(condition)
    ]


def decides(tree: exp.Expr, name: str, vocabulary: Vocabulary) -> bool:
    """Whether a SELECT has no rows, or only those that aggregates make of none, if a source has none."""
    block = block_of(tree, name)
    while block is not None:
        kinds = _kinds(block.args.get("joins") or [])
        if kinds.get(name, "inner") != "inner" or {"right", "full"} & set(kinds.values()):
            return False
        if block is tree:
            return True
        grouped = any(shape.groups(part, vocabulary) for part in shape.parts(block))
        holder = block.parent
        if (
            not isinstance(holder, exp.Subquery)
            or not isinstance(holder.parent, exp.From | exp.Join)
            or (grouped and not block.args.get("group"))
        ):
            return False
        name, block = holder.alias_or_name, holder.find_ancestor(exp.Select)
    return False


def join_kind(node: exp.Expr) -> str:
    """Return `inner left right full`, or `only` for SEMI and ANTI, of FROM or a join."""
    if isinstance(node, exp.From):
        return "inner"
    side, kind = node.side, node.kind  # type: ignore[attr-defined]
    if kind in ("SEMI", "ANTI"):
        return "only"
    if side == "" and kind in ("", "INNER", "CROSS"):
        return "inner"
    return {"LEFT": "left", "RIGHT": "right"}.get(side, "full")


def _kinds(joins: list[exp.Expr]) -> dict[str, str]:
    """Return how each source that is joined is, by its name."""
    return {join.this.alias_or_name: join_kind(join) for join in joins}
