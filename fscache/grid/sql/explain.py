"""EXPLAIN: how a query is answered, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.grid.sql.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.grid.sql.execute import Bound
    from fscache.grid.sql.facts import Chosen


def explained(bound: Bound) -> Result:
    """Return the plan of a query: one row for each step, and one for what is made of them."""
    import pyarrow as pa

    plan = bound.plan
    rows = [
        (
            step.name,
            step.kind,
            _listed((name, step.portions) for name in step.parts.values()),
            _listed((name, chosen) for _relation, name, chosen in step.whole_shards),
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


def _listed(tables: Iterable[tuple[str, Chosen | None]]) -> str:
    """Return names of tables, with the shards that are read, where not all of them are."""
    return ", ".join(
        sorted(
            {
                name if chosen is None else f"{name} ({len(chosen.numbers)} of {chosen.of} shards)"
                for name, chosen in tables
            }
        )
    )
