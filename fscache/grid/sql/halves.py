"""The two halves of a SELECT: what both ways of taking one apart have in common. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.dialect import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Halves(NamedTuple):
    """A SELECT taken apart.

    Attributes:
        remote: For the workers; its columns have plain names.
        here: Reads the relation that the workers' rows make.
        kind: How it was taken apart.
        enough: Rows after which no more are needed.
    """

    remote: exp.Select
    here: exp.Select
    kind: str
    enough: int | None = None


class Carried:
    """The columns that the workers send."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._names: dict[str, str] = {}
        self.projections: list[exp.Expr] = []

    def column(self, value: exp.Expr) -> exp.Column:
        """Have a value sent, and return what it is called here."""
        text = write(value.unnest())
        name = self._names.get(text)
        if name is None:
            name = self._names[text] = f"c{len(self._names)}"
            self.projections.append(exp.Alias(this=value.copy(), alias=exp.to_identifier(name)))
        return exp.column(name, table=self._step)


def copied(select: exp.Select, clause: str) -> exp.Expr | list[exp.Expr] | None:
    """Return a copy of a clause."""
    found = select.args.get(clause)
    if isinstance(found, list):
        return [each.copy() for each in found]
    return found.copy() if found is not None else None


def sources_of(select: exp.Select) -> set[str]:
    """Return the names of the sources in FROM."""
    start = select.args.get("from_")
    nodes: Iterable[exp.Expr] = [
        *([start] if start is not None else []),
        *(select.args.get("joins") or []),
    ]
    return {node.this.alias_or_name for node in nodes}


def keys_of(select: exp.Select) -> dict[str, exp.Expr]:
    """Return what a SELECT groups by, by its text."""
    group = select.args.get("group")
    return {write(key.unnest()): key.unnest() for key in group.expressions} if group else {}


def remote(select: exp.Select) -> exp.Select:
    """Return FROM and WHERE of a SELECT, copied, as one without columns."""
    made = exp.Select(expressions=[])
    for clause in ("from_", "joins", "where"):
        made.set(clause, copied(select, clause))
    return made


def here_of(
    select: exp.Select, step: str, swap: Callable[[exp.Expr], exp.Expr | None]
) -> exp.Select:
    """Return a SELECT over the rows of a step; `swap` says what stands for its parts, None to look in."""
    here = select.copy()
    for clause in ("from_", "joins", "where"):
        here.set(clause, None)
    for part in list(shape.parts(here)):
        _swap(part, swap)
    return here.from_(step)


def _swap(node: exp.Expr, swap: Callable[[exp.Expr], exp.Expr | None]) -> None:
    """Put something else in place of parts of a tree, from the top down; never of the top itself."""
    for child in list(node.iter_expressions()):
        other = swap(child)
        if other is None:
            _swap(child, swap)
        elif other is not child:
            child.replace(other)
