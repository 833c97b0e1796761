"""Which columns and rows of a table have to be brought together for a query. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.engine import quoted
from fscache.grid.sql import shape
from fscache.grid.sql.conditions import alone

if TYPE_CHECKING:
    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.parse import Query
    from fscache.grid.sql.vocabulary import Vocabulary


ALL = "__table"
"""What `needed` calls the table that it reads; another name than any table of the query has."""


def needed(query: Query, source: Source) -> str:
    """Return the query for the columns of a table that a query's text may mean.

    Every word of the query that is a column's name counts; a star, the table's own name, or a query that
    could not be read, means all.
    """
    names = _words(query)
    if names is None:
        return f"SELECT * FROM {ALL}"  # noqa: S608 - no name of the user's
    wanted = [name for name in source.columns if name.lower() in names]
    listed = ", ".join(map(quoted, wanted or list(source.columns)[:1]))
    return f"SELECT {listed} FROM {ALL}"  # noqa: S608 - names of columns, quoted


def fragment(select: exp.Select, name: str, table: Source, vocabulary: Vocabulary) -> exp.Select:
    """Return what the workers send of one source: the columns that are used, the rows that may count."""
    settled = _settled(select, name, vocabulary)
    # A condition that the workers have seen to needs its columns no more.
    within = {id(found) for condition in settled for found in shape.columns(condition)}
    used = {
        found.name
        for found in shape.columns(select)
        if found.table == name and id(found) not in within
    }
    wanted = [each for each in table.columns if each in used]
    made = exp.Select(
        expressions=[
            exp.alias_(column(name, each), each, quoted=True)
            for each in wanted or list(table.columns)[:1]
        ]
    ).from_(exp.to_table(name))
    return made.where(*(condition.copy() for condition in settled), copy=False)


def settle(select: exp.Select, name: str, vocabulary: Vocabulary) -> None:
    """Leave out of a query, in place, the conditions that hold for all rows that `fragment` gives."""
    for condition in _settled(select, name, vocabulary):
        condition.replace(exp.true())


def _settled(select: exp.Select, name: str, vocabulary: Vocabulary) -> list[exp.Expr]:
    return [each for each in alone(select, name) if shape.movable(each, vocabulary)]


def _words(query: Query) -> set[str] | None:
    tree = query.tree
    if tree is None:
        return None
    for star in tree.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            return None
    for join in tree.find_all(exp.Join):
        if join.args.get("method"):
            return None
    if tree.find(exp.Pivot, exp.Anonymous, exp.Lateral) and _reaches_columns(tree):
        return None
    words = {identifier.name.lower() for identifier in tree.find_all(exp.Identifier)}
    tables = {table.alias_or_name.lower() for table in tree.find_all(exp.Table)}
    columns = {
        part.name.lower() for column in tree.find_all(exp.Column) for part in column.parts[-1:]
    }
    return None if tables & columns else words


def _reaches_columns(tree: exp.Expr) -> bool:
    """Whether something in a query names columns other than by their names."""
    called = {node.name.lower() for node in tree.find_all(exp.Anonymous)}
    return tree.find(exp.Pivot, exp.Lateral) is not None or "columns" in called


def column(source: str, name: str) -> exp.Column:
    """Return a column of a source."""
    return exp.column(exp.to_identifier(name, quoted=True), table=source)
