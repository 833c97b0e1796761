"""The steps of a plan that is being made. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.dialect import write
from fscache.grid.sql.facts import Step
from fscache.grid.sql.pruning import Pruner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fscache.grid.sql.facts import Limits, Source
    from fscache.grid.sql.vocabulary import Vocabulary


class Steps:
    """The steps so far, and what there is to make more of.

    Attributes:
        tables: What is known of each source that is a table, and has not been brought together.
        vocabulary: The functions there are.
        limits: What workers may be asked for.
        listed: The steps so far.
    """

    def __init__(
        self,
        tables: dict[str, Source],
        vocabulary: Vocabulary,
        limits: Limits,
        parameters: Mapping[str, Any],
    ) -> None:
        self._pruner = Pruner(vocabulary, parameters)
        self.tables = tables
        self.vocabulary = vocabulary
        self.limits = limits
        self.listed: list[Step] = []

    @property
    def next(self) -> str:
        """The name that the next step is to have."""
        return f"g{len(self.listed)}"

    def add(
        self,
        kind: str,
        tree: exp.Expr,
        cut: frozenset[str] = frozenset(),
        *,
        name: str | None = None,
        enough: int | None = None,
        most: int | None = None,
    ) -> str:
        """Add a step; return its name.

        Args:
            kind: As `Step.kind`.
            tree: Its query.
            cut: The sources that are cut, those that the query does not read among them.
            name: Another name than `next`.
            enough: As `Step.enough`.
            most: As `Step.most`.
        """
        remote = self.remote(tree)
        known = {step.name for step in self.listed} | (set(self.tables) - self.remote_all())
        cuts = {source: self.tables[source] for source in sorted(remote & cut)}
        wholes = {
            source: self._pruner.whole(tree, source, self.tables[source])
            for source in sorted(remote - cut)
        }
        step = Step(
            name or self.next,
            kind,
            write(tree),
            self.named(remote & cut),
            self.named(remote - cut),
            tuple(sorted(shape.relations(tree) & known)),
            enough,
            most,
            self._pruner.portions(tree, cuts),
            {source: chosen for source, chosen in wholes.items() if chosen is not None},
            len(cuts) > 1 and shape.tests_rows(tree),
        )
        self.listed.append(step)
        return step.name

    def read(self, select: exp.Expr, source: str, name: str) -> None:
        """Have a query read the rows of a step in place of a table."""
        for table in list(select.find_all(exp.Table)):
            if table.name == source:
                table.replace(exp.alias_(exp.to_table(name), source, table=True))
        self.tables.pop(source, None)

    def named(self, sources: set[str]) -> dict[str, str]:
        """Return the names of tables by source."""
        return {source: self.tables[source].name for source in sorted(sources)}

    def remote(self, node: exp.Expr) -> set[str]:
        """Return the sources in a tree that are tables of the grid."""
        return shape.relations(node) & self.remote_all()

    def remote_all(self) -> set[str]:
        """Return all sources that are tables of the grid."""
        return {name for name, table in self.tables.items() if table.shards}
