"""Which columns and rows of a table have to be brought together for a query. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.engine import quoted
from fscache.grid.sql import shape
from fscache.grid.sql.colocate import join_kind

if TYPE_CHECKING:
    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.parse import Query
    from fscache.grid.sql.vocabulary import Vocabulary


ALL = "t"
"""What `needed` calls the table that it reads."""


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
    used = {column.name for column in shape.columns(select) if column.table == name}
    wanted = [column for column in table.columns if column in used]
    made = exp.Select(
        expressions=[
            exp.alias_(_column(name, column), column, quoted=True)
            for column in wanted or list(table.columns)[:1]
        ]
    ).from_(exp.to_table(name))
    conditions = [
        condition.copy()
        for condition in _conditions(select, name)
        if shape.sources(condition) == {name} and shape.movable(condition, vocabulary)
    ]
    return made.where(*conditions) if conditions else made


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


def _conditions(select: exp.Select, name: str) -> list[exp.Expr]:
    """Return the conditions that a row of a source must fulfil to count for anything."""
    for each in select.find_all(exp.Select):
        start = each.args.get("from_")
        if start is None:
            continue
        joins = each.args.get("joins") or []
        sources = [start.this, *(join.this for join in joins)]
        if not any(isinstance(node, exp.Table) and node.name == name for node in sources):
            continue
        kinds = {join.this.alias_or_name: join_kind(join) for join in joins}
        own = kinds.get(name, "inner")
        if any(kind in ("right", "full") for kind in kinds.values()):
            return []
        found = shape.conjuncts(each.args.get("where")) if own == "inner" else []
        for join in joins:
            if (join_kind(join) == "inner" and own == "inner") or join.this.alias_or_name == name:
                found = [*found, *shape.conjuncts(join.args.get("on"))]
        return found
    return []


def _column(source: str, name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=source)
