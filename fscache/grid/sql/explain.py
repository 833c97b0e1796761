"""EXPLAIN: how a query is answered, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.grid.sql.result import Result

if TYPE_CHECKING:
    from fscache.grid.sql.execute import Bound


def explained(bound: Bound) -> Result:
    """Return the plan of a query: one row for each step, and one for what is made of them."""
    import pyarrow as pa

    plan = bound.plan
    rows = [
        (
            step.name,
            step.kind,
            ", ".join(sorted(set(step.parts.values()))),
            ", ".join(sorted(set(step.wholes.values()))),
            step.sql,
        )
        for step in plan.steps
    ]
    rows.append(("answer", plan.kind, "", "", plan.final))
    if plan.why:
        rows.append(("", "why", "", "", plan.why))
    names = ("relation", "class", "cut", "whole", "sql")
    columns = list(zip(*rows, strict=True))
    table = pa.table({name: list(column) for name, column in zip(names, columns, strict=True)})
    return Result(table, names, ["VARCHAR"] * len(names))
