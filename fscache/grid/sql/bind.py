"""Names and types of a query and of its steps, from DuckDB itself, over empty tables.

What DuckDB says of the query as a whole is what the answer is made to be. A plan whose steps DuckDB does
not accept, or which would give other columns, is not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from fscache.errors import SQLError
from fscache.grid.engine import quoted
from fscache.grid.sql.sandbox import Setting, connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fscache.grid.sql.facts import Plan, Source
    from fscache.grid.sql.parse import Query

PLANNING = Setting(threads=1)
"""Of the database that queries are read and bound in."""
_PARAMETER = re.compile(r"\$(shared_(\d+))\b")


@dataclass(frozen=True)
class Columns:
    """Names and types of a relation's columns."""

    names: tuple[str, ...]
    types: tuple[str, ...]


class Binder:
    """Asks DuckDB, for one query."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self._connection = connect(PLANNING)

    def query(self, query: Query, sources: Mapping[str, Source]) -> Columns:
        """Return what the answer is to be.

        Raises:
            SQLError: DuckDB does not accept it.
        """
        for name in sources:
            self._empty(name, sources[name].columns)
        try:
            return _as_written(self._describe(query.text), query)
        except duckdb.Error as exc:
            why = reason(exc)
            if "Values were not provided" in why:
                why = "a value is passed beside the query and stands in it as shared.NAME"
            raise SQLError(why, query.source, position(exc, query)) from None
        finally:
            self._forget(sources)

    def plan(
        self, plan: Plan, sources: Mapping[str, Source], wanted: Columns
    ) -> dict[str, Columns] | None:
        """Return what the steps of a plan give; None if the plan is of no use."""
        known: dict[str, Columns] = {}
        made: list[str] = []
        try:
            for step in plan.steps:
                for view, name in (step.parts | step.wholes).items():
                    self._empty(view, sources[name].columns)
                for name in step.inputs:
                    if name in plan.local:
                        self._empty(name, sources[plan.local[name]].columns)
                known[step.name] = self._describe(step.sql)
                self._forget([*step.parts, *step.wholes, *(set(step.inputs) & set(plan.local))])
                self._empty(
                    step.name,
                    dict(zip(known[step.name].names, known[step.name].types, strict=True)),
                )
                made.append(step.name)
            for view, name in plan.local.items():
                self._empty(view, sources[name].columns)
                made.append(view)
            final = self._describe(plan.final)
        except duckdb.Error:
            return None
        finally:
            self._forget(made)
        return known if len(final.types) == len(wanted.types) else None

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _empty(self, name: str, columns: Mapping[str, str]) -> None:
        listed = ", ".join(f"{quoted(each)} {kind}" for each, kind in columns.items())
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} ({listed})")

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._connection.execute(f"DROP TABLE IF EXISTS {quoted(name)}")

    def _describe(self, text: str) -> Columns:
        rows = self._connection.execute(
            f"DESCRIBE {text}", parameters_of(text, self._parameters)
        ).fetchall()
        return Columns(tuple(str(row[0]) for row in rows), tuple(str(row[1]) for row in rows))


def parameters_of(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a text has; DuckDB takes no others."""
    names = {found.group(1) for found in _PARAMETER.finditer(text)}
    return {name: parameters[name] for name in names if name in parameters}


def _as_written(columns: Columns, query: Query) -> Columns:
    """Return columns whose names have shared values as the user did, not as parameters."""

    def written(found: re.Match[str]) -> str:
        name, number = found.groups()
        return f"shared.{query.shared[int(number)]}" if name in query.parameters else found.group()

    return Columns(tuple(_PARAMETER.sub(written, name) for name in columns.names), columns.types)


def reason(exc: BaseException) -> str:
    """Return what DuckDB has to say, without the picture of the query below it."""
    return str(exc).split("\n\nLINE ")[0].strip()


def position(exc: BaseException, query: Query) -> int | None:
    """Return where in the user's text DuckDB sees the fault, if it says so."""
    found = re.search(r"\n\nLINE (\d+): ?(.*)\n( *)\^", str(exc))
    if found is None or query.text != query.source:
        return None
    shown, column = found.group(2), len(found.group(3)) - len(f"LINE {found.group(1)}: ")
    lines = query.source.split("\n")
    number = int(found.group(1)) - 1
    if not 0 <= number < len(lines) or shown.startswith("...") or column < 0:
        return None
    return sum(len(line) + 1 for line in lines[:number]) + column
