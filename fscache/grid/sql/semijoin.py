"""Keys of one table as a filter of another one, before that is brought anywhere. Pure.

    SELECT … FROM part p, lines l WHERE p.id = l.part AND p.brand = 'x'

needs no line but those whose part is in `SELECT DISTINCT id FROM part WHERE brand = 'x'`. So if the
keys are few, and the lines would else be read whole by every worker or be brought here whole, the keys
are sent to where the lines lie, and only the lines that have one of them go further. The query itself
keeps all its conditions, so a filter may leave too many rows in but never out; `conditions.required`
says which rows may be left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from fscache.grid.sql import shape
from fscache.grid.sql.conditions import block_of, from_of, joins_inner, required
from fscache.grid.sql.equality import Place, place_of
from fscache.grid.sql.gathering import column, fragment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fscache.grid.sql.facts import Source
    from fscache.grid.sql.vocabulary import Vocabulary

_SMALL = 16 << 20  # bytes of a table that every worker may read whole to make keys
_FEWER = 2  # times smaller that a table beside it must be for its keys to be asked for
_EXACT = {
    *("BIGINT", "BOOLEAN", "DATE", "DECIMAL", "HUGEINT", "INTEGER", "SMALLINT", "TIMESTAMP"),
    *("TINYINT", "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT", "UUID", "VARCHAR"),
}  # types of which equal values are the same value


class Keys(NamedTuple):
    """What rows of a source must be equal to, to count for anything.

    Attributes:
        source: Where the keys come from.
        query: That gives them, as `k0`, `k1` …
        columns: Of the source to be filtered, in the order of the keys.
        beside: Whether the two are joined; else one is in a query within the other's.
    """

    source: str
    query: exp.Select
    columns: tuple[str, ...]
    beside: bool


def keys_for(
    select: exp.Select, name: str, tables: Mapping[str, Source], vocabulary: Vocabulary
) -> list[Keys]:
    """Return the keys that may filter a source, those of the smallest table first.

    Args:
        select: The query.
        name: Of the source.
        tables: What is known of each source that is a table.
        vocabulary: The functions there are.
    """
    linked: dict[str, dict[str, str]] = {}
    for own, (source, other) in _links(select, name):
        if source not in tables:
            continue
        kinds = tables[name].columns[own], tables[source].columns.get(other)
        if kinds[0] == kinds[1] and kinds[0].split("(")[0] in _EXACT:
            linked.setdefault(source, {}).setdefault(own, other)
    block = block_of(select, name)
    found = []
    for source, pairs in linked.items():
        others = {each: table for each, table in tables.items() if each != name}
        query = _query(select, source, list(pairs.values()), others, vocabulary)
        if query is not None:
            beside = block_of(select, source) is block
            found.append(Keys(source, query, tuple(pairs), beside))
    return sorted(found, key=lambda keys: tables[keys.source].size)


def worth_asking(keys: Keys, name: str, tables: Mapping[str, Source]) -> bool:
    """Whether to find out how many keys there are."""
    return not keys.beside or tables[keys.source].size * _FEWER <= tables[name].size


def filtered(
    select: exp.Select,
    name: str,
    tables: Mapping[str, Source],
    vocabulary: Vocabulary,
    keys: tuple[str, tuple[str, ...]] | None,
) -> exp.Select:
    """Return the columns and rows of a source that may count.

    Args:
        select: The query.
        name: Of the source.
        tables: What is known of each source that is a table.
        vocabulary: The functions there are.
        keys: The relation that has keys, and the columns that are compared with them.
    """
    made = fragment(select, name, tables[name], vocabulary)
    for condition in _of_steps(select, name, tables):
        made.where(condition.copy(), copy=False)
    if keys is not None:
        relation, columns = keys
        equal = [
            exp.EQ(this=exp.column(f"k{number}", table=relation), expression=column(name, each))
            for number, each in enumerate(columns)
        ]
        asked = exp.Select(expressions=[exp.Literal.number(1)]).from_(exp.to_table(relation))
        made.where(exp.Exists(this=asked.where(*equal)), copy=False)
    if _only_asked_for(select, name):
        made.set("distinct", exp.Distinct())
    return made


def has_filter(made: exp.Select) -> bool:
    """Whether what `filtered` has made leaves rows out."""
    return made.args.get("where") is not None


# -- inside -----------------------------------------------------------------------------------


def _links(select: exp.Select, name: str) -> list[tuple[str, Place]]:
    """Return columns of a source, and what they must be equal to, of other sources."""
    pairs = [
        (place_of(condition.left), place_of(condition.right))
        for condition in required(select, name)
        if isinstance(condition, exp.EQ)
    ]
    block = block_of(select, name)
    holder = block.find_ancestor(exp.In) if block is not None else None
    if block is not None and holder is not None and _lists(block, holder):
        # `a IN (SELECT b FROM name)`, where it must be true; so not NOT IN, which minds nulls.
        left = place_of(holder.this)
        if left is not None and any(holder is each for each in required(select, left[0])):
            pairs.append((left, place_of(block.expressions[0].unalias())))
    return [
        (own[1], other)
        for pair in pairs
        for own, other in (pair, pair[::-1])
        if own is not None and other is not None and own[0] == name != other[0]
    ]


def _lists(block: exp.Select, holder: exp.In) -> bool:
    """Whether a SELECT gives what IN looks into, and each row of it is made of rows of one value."""
    query = holder.args.get("query")
    return (
        query is not None
        and query.unnest() is block
        and not any(block.args.get(clause) for clause in ("limit", "offset", "qualify"))
        and not any(each.find(exp.Window) for each in shape.parts(block))
    )


def _query(
    select: exp.Select,
    source: str,
    columns: list[str],
    tables: Mapping[str, Source],
    vocabulary: Vocabulary,
) -> exp.Select | None:
    """Return the query for the keys that a table's rows have, if something filters them."""
    block = block_of(select, source)
    if source not in tables or not tables[source].shards or block is None:
        return None
    conditions = required(select, source)
    members = {source}
    if joins_inner(block):
        small = {
            node.name
            for node in from_of(block)
            if isinstance(node, exp.Table) and node.name in tables and _is_small(node, tables)
        }
        members = _joined(source, small, conditions)
        members = _useful(source, members, conditions)
    chosen = [
        condition
        for condition in conditions
        if shape.sources(condition)
        and _within(condition, members, tables)
        and all(_is_free(query) for query in shape.queries(condition))
        and (shape.queries(condition) or shape.movable(condition, vocabulary))
    ]
    if all(map(_is_link, chosen)):
        return None
    made = exp.Select(
        expressions=[
            exp.alias_(column(source, each), f"k{number}") for number, each in enumerate(columns)
        ]
    ).from_(exp.to_table(source))
    for other in sorted(members - {source}):
        made.join(exp.to_table(other), copy=False)
    made.where(*(condition.copy() for condition in chosen), copy=False)
    made.set("distinct", exp.Distinct())
    return made


def _joined(source: str, others: set[str], conditions: list[exp.Expr]) -> set[str]:
    """Return the sources that conditions tie to one, directly or by each other."""
    members = {source}
    while True:
        more = {
            each
            for condition in conditions
            if not shape.queries(condition)
            and (met := shape.sources(condition)) & members
            and met <= members | others
            for each in met - members
        }
        if not more:
            return members
        members |= more


def _useful(source: str, members: set[str], conditions: list[exp.Expr]) -> set[str]:
    """Return the members without those that are equal to one other in something, and no more is asked."""
    for name in sorted(members - {source}):
        own = [
            condition
            for condition in conditions
            if name in (met := shape.sources(condition) - shape.read(condition)) and met <= members
        ]
        others = {each for condition in own for each in shape.sources(condition) - {name}}
        if len(others) == 1 and all(map(_is_link, own)):
            return _useful(source, members - {name}, conditions)
    return members


def _within(condition: exp.Expr, members: set[str], tables: Mapping[str, Source]) -> bool:
    """Whether a condition needs nothing but some sources, and small tables in queries within it."""
    read = shape.read(condition)
    small = all(
        tables[table.name].size <= _SMALL
        for table in condition.find_all(exp.Table)
        if table.name in tables
    )
    return small and shape.sources(condition) <= members | read


def _of_steps(select: exp.Select, name: str, tables: Mapping[str, Source]) -> list[exp.Expr]:
    """Return the conditions on a source that ask for what is brought together already."""
    return [
        condition
        for condition in required(select, name)
        if shape.queries(condition)
        and not shape.relations(condition) & set(tables)
        and shape.sources(condition) - shape.read(condition) == {name}
    ]


def _only_asked_for(select: exp.Select, name: str) -> bool:
    """Whether it makes no difference how often a row occurs: `EXISTS (SELECT 1 FROM name WHERE …)`."""
    block = block_of(select, name)
    if block is None or not isinstance(block.parent, exp.Exists):
        return False
    return set(shape.given(block)) <= {"expressions", "from_", "where"} and all(
        isinstance(each.unalias(), exp.Literal) for each in block.expressions
    )


def _is_free(query: exp.Query) -> bool:
    """Whether a query sees nothing of the one around it."""
    return not shape.sources(query) - shape.read(query)


def _is_small(node: exp.Table, tables: Mapping[str, Source]) -> bool:
    return bool(tables[node.name].shards) and tables[node.name].size <= _SMALL


def _is_link(condition: exp.Expr) -> bool:
    return isinstance(condition, exp.EQ) and None not in map(
        place_of, (condition.left, condition.right)
    )
