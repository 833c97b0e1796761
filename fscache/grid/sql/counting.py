"""A SELECT of nothing but the number of a table's rows, which is known. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql import shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.vocabulary import Vocabulary

_OTHERS = ("joins", "where", "group", "having", "qualify", "distinct")


def counted(
    select: exp.Select, tables: Mapping[str, Source], vocabulary: Vocabulary
) -> exp.Select | None:
    """Return a SELECT that only counts a table's rows as one that reads nothing; None if it does more."""
    start = select.args.get("from_")
    if start is None or any(select.args.get(clause) for clause in _OTHERS):
        return None
    table = tables.get(start.this.name) if isinstance(start.this, exp.Table) else None
    if table is None or table.rows is None or shape.columns(select):
        return None
    if any(shape.queries(part) or part.find(exp.Window) for part in shape.parts(select)):
        return None
    made = select.copy()
    counts = [node for node in made.find_all(exp.Count) if isinstance(node.this, exp.Star)]
    if not counts or any(isinstance(node.parent, exp.Filter) for node in counts):
        return None
    for node in counts:
        node.replace(exp.cast(exp.Literal.number(table.rows), "BIGINT"))
    if any(shape.groups(part, vocabulary) for part in shape.parts(made)):
        return None
    made.set("from_", None)
    return made
