"""Looking at trees of sqlglot. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql.dialect import write
from fscache.grid.sql.facts import NotProvable
from fscache.grid.sql.vocabulary import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.grid.sql.vocabulary import Traits, Vocabulary

CLAUSES = {
    "expressions",
    "from_",
    "joins",
    "where",
    "group",
    "having",
    "qualify",
    "order",
    "limit",
    "offset",
    "distinct",
}
"""Arguments of a SELECT that the planner knows."""


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """Return the conditions that must all hold, of a condition or the clause that holds it."""
    if condition is None:
        return []
    node = (
        condition.this if isinstance(condition, exp.Where | exp.Having | exp.Paren) else condition
    )
    if isinstance(node, exp.And):
        return [*conjuncts(node.left), *conjuncts(node.right)]
    if isinstance(node, exp.Paren):
        return conjuncts(node)
    return [node]


def columns(node: exp.Expr | None) -> list[exp.Column]:
    """Return all columns in a tree, those in queries within it too."""
    return [] if node is None else list(node.find_all(exp.Column))


def sources(node: exp.Expr | None) -> set[str]:
    """Return the names of the sources whose columns stand in a tree."""
    return {column.table for column in columns(node)}


def queries(node: exp.Expr | None) -> list[exp.Query]:
    """Return the outermost queries within an expression."""
    if node is None:
        return []
    return [
        each
        for each in node.walk(prune=lambda item: isinstance(item, exp.Query))
        if isinstance(each, exp.Query)
    ]


def inner(select: exp.Expr) -> list[exp.Query]:
    """Return the outermost queries within a SELECT, those in FROM too."""
    return [
        found
        for child in select.iter_expressions()
        for found in child.walk(prune=lambda item: isinstance(item, exp.Query))
        if isinstance(found, exp.Query)
    ]


def read(node: exp.Expr | None) -> set[str]:
    """Return the names of all relations that a tree reads, sources or steps."""
    if node is None:
        return set()
    return {each.alias_or_name for each in node.find_all(exp.Table, exp.Subquery)}


def relations(node: exp.Expr) -> set[str]:
    """Return the names of all relations that a tree reads, as they stand in FROM."""
    return {table.name for table in node.find_all(exp.Table)}


def lighten(tree: exp.Expr) -> None:
    """Have EXISTS ask for rows alone, in place: what it selects would else be brought together, too."""
    for exists in tree.find_all(exp.Exists):
        block = exists.this.unnest() if isinstance(exists.this, exp.Subquery) else exists.this
        if not isinstance(block, exp.Select):
            continue
        plain = all(isinstance(each.unalias(), exp.Column) for each in block.expressions)
        if plain and set(given(block)) <= {"expressions", "from_", "joins", "where"}:
            one = exp.Alias(this=exp.Literal.number(1), alias=exp.to_identifier("one"))
            block.set("expressions", [one])


def tests_rows(tree: exp.Expr) -> bool:
    """Whether a query asks if rows exist: DuckDB makes semi-joins of that."""
    return (
        tree.find(exp.Exists) is not None
        or any(node.args.get("query") is not None for node in tree.find_all(exp.In))
        or any(join.kind in ("SEMI", "ANTI") for join in tree.find_all(exp.Join))
    )


def is_collated(tree: exp.Expr) -> bool:
    """Whether a column that a SELECT gives has a collation: what workers send has lost it."""
    return any(
        column.find(exp.Collate)
        for select in tree.find_all(exp.Select)
        for column in select.expressions
    )


def is_heavy(query: exp.Expr) -> bool:
    """Whether a query may be worth computing once where it is read twice."""
    kinds = (exp.Group, exp.Limit, exp.Distinct, exp.Window, exp.SetOperation, exp.Func)
    return query.find(*kinds) is not None


def traits(node: exp.Expr, vocabulary: Vocabulary) -> Traits:
    """Return what is known of an expression."""
    return vocabulary.traits(write(node))


def movable(node: exp.Expr, vocabulary: Vocabulary) -> bool:
    """Whether an expression has the same value wherever its columns are."""
    return traits(node, vocabulary).movable


def parts(select: exp.Select) -> Iterator[exp.Expr]:
    """Yield what a SELECT makes of its rows: all but FROM and WHERE."""
    yield from select.expressions
    for clause in ("group", "having", "qualify", "order", "distinct"):
        node = select.args.get(clause)
        if node is not None:
            yield node


def expressions(part: exp.Expr) -> list[exp.Expr]:
    """Return the expressions of a clause, or an expression itself without its name."""
    if isinstance(part, exp.Group | exp.Order | exp.Tuple):
        return [each for item in part.expressions for each in expressions(item)]
    if isinstance(part, exp.Having | exp.Qualify | exp.Where | exp.Alias | exp.Ordered | exp.Paren):
        return expressions(part.this)
    if isinstance(part, exp.Distinct):
        return expressions(part.args["on"]) if part.args.get("on") else []
    return [part]


def functions(part: exp.Expr, vocabulary: Vocabulary) -> set[str]:
    """Return the names of the functions in a part that are no movable scalars."""
    return {name for node in expressions(part) for name in traits(node, vocabulary).strange}


def groups(part: exp.Expr, vocabulary: Vocabulary) -> bool:
    """Whether a part has an aggregate of its own SELECT, or what may be one."""
    return any(traits(node, vocabulary).groups for node in expressions(part))


def called(query: exp.Expr, vocabulary: Vocabulary) -> set[str]:
    """Return the names of all functions that a query calls."""
    return {
        node["function_name"].lower()
        for node in nodes(vocabulary.statements(write(query)))
        if "function_name" in node
    }


def number(node: exp.Expr | None) -> int | None:
    """Return the value of LIMIT or OFFSET, None if it is not written out."""
    if node is None or any(node.args.get(name) for name in node.args if name != "expression"):
        return None  # LIMIT 10%, WITH TIES, LIMIT BY
    value = node.args.get("expression")
    if isinstance(value, exp.Literal) and not value.is_string and value.name.isdigit():
        return int(value.name)
    return None


def given(node: exp.Expr) -> list[str]:
    """Return the names of a node's arguments that say anything."""
    return [name for name, value in node.args.items() if value not in (None, False, [], "")]


def leftmost(query: exp.Expr) -> exp.Select:
    """Return the SELECT that gives a query's columns their names."""
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        raise NotProvable("a query whose columns are not known")
    return query


def is_arranged(query: exp.Expr) -> bool:
    """Whether the rows of a query depend on each other: their order, or which ones there are."""
    if not isinstance(query, exp.Select):
        return True
    clauses = ("order", "limit", "offset", "distinct", "qualify")
    return any(query.args.get(clause) is not None for clause in clauses)


def derived(query: exp.Expr, name: str) -> exp.Subquery:
    """Return a query as a source of this name."""
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(name)))
