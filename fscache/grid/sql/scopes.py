"""The sources that a SELECT sees, and what a name means among them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from fscache.grid.sql.facts import NotProvable

Names = dict[str, "str | None"]
"""Columns by what they are asked for (small letters); None where two have one name."""


@dataclass
class Origin:
    """A source of a SELECT, as its columns can be asked for."""

    name: str  # of the source, in the whole query
    said: str  # as the query calls it
    columns: Names
    hidden: set[str] = field(default_factory=set)  # columns that USING has merged into another's


@dataclass
class Scope:
    """The sources that a SELECT sees; `parent` is of the query around it."""

    parent: Scope | None
    origins: list[Origin] = field(default_factory=list)


@dataclass
class With:
    """A query of WITH, as the names in it are to be understood."""

    query: exp.Query
    env: dict[str, With]
    columns: list[str]
    relation: str | None = None  # once it is one of those that several sources read
    names: list[str | None] = field(default_factory=list)


def find(parts: list[str], scope: Scope) -> exp.Expr | None:
    """Return what a dotted name means among the sources of one SELECT, None if nothing."""
    first = parts[0].lower()
    rest = [part.lower() for part in parts]
    as_column = [
        each for each in scope.origins if first in each.columns and first not in each.hidden
    ]
    as_source = [each for each in scope.origins if each.said == first]
    if len(parts) > 1 and as_source:
        if as_column:
            raise NotProvable(f"{parts[0]} may be a source or a column")
        (origin,) = as_source
        if rest[1] not in origin.columns:
            raise NotProvable(f"{parts[0]} has no column {parts[1]}")
        return fields_of(column_of(origin, rest[1]), parts[2:])
    if not as_column:
        if as_source:
            raise NotProvable(f"whole rows of {parts[0]}")
        return None
    if len(as_column) > 1:
        raise NotProvable(f"{parts[0]} may be of several sources")
    return fields_of(column_of(as_column[0], first), parts[1:])


def column_of(origin: Origin, key: str) -> exp.Column:
    """Return a column of a source."""
    actual = origin.columns[key]
    if actual is None:
        raise NotProvable(f"two columns are called {key}")
    made = exp.column(exp.to_identifier(actual, quoted=True), table=origin.name)
    made.meta["resolved"] = True
    return made


def fields_of(value: exp.Expr, names: list[str]) -> exp.Expr:
    """Return a field of a value, of a field of it and so on."""
    for name in names:
        value = exp.Dot(this=value, expression=exp.to_identifier(name, quoted=True))
    return value


def columns_named(names: list[str | None]) -> Names:
    """Return columns by the names they have."""
    columns: Names = {}
    for name in names:
        if name is not None:
            columns[name] = None if name in columns else name
    return columns
