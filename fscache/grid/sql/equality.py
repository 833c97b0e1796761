"""Which columns of a query are known to be equal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Mapping

Place = tuple[str, str]  # source, column


class Links:
    """Which columns are known to be equal."""

    def __init__(
        self, kinds: Mapping[Place, str], parents: dict[Place, Place] | None = None
    ) -> None:
        """Begin with nothing; `kinds` are the types of columns, where they are known."""
        self._kinds = kinds
        self._parents = parents or {}

    def copy(self) -> Links:
        """Return the same, to add more to."""
        return Links(self._kinds, dict(self._parents))

    def root(self, place: Place) -> Place:
        """Return the column that stands for all that are equal to this one."""
        while place in self._parents:
            place = self._parents[place]
        return place

    def add(self, condition: exp.Expr) -> None:
        """Take into account that a condition holds."""
        if not isinstance(condition, exp.EQ):
            return
        left, right = (place_of(side) for side in (condition.left, condition.right))
        if left is None or right is None:
            return
        # Equality between types is not transitive: two integers may equal the same double.
        kind = self._kinds.get(left)
        if kind is None or kind != self._kinds.get(right):
            return
        one, other = self.root(left), self.root(right)
        if one != other:
            self._parents[one] = other


def place_of(node: exp.Expr) -> Place | None:
    """Return the column that an expression is; None if it is something else."""
    while isinstance(node, exp.Paren):
        node = node.this
    return (node.table, node.name) if isinstance(node, exp.Column) else None
