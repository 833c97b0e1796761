"""Reading a query: one SELECT, that only reads, in DuckDB's dialect.

sqlglot takes queries apart, DuckDB says what they mean: a query is only planned if DuckDB's parser makes
the same of sqlglot's rendering as of the text itself. Otherwise its own text is run, over whole tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from fscache.errors import SQLError, SQLRefusedError
from fscache.grid.sql import functions
from fscache.grid.sql.dialect import read, same, write
from fscache.grid.sql.vocabulary import nodes
from fscache.grid.sql.words import REFUSED, TABLE_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from fscache.grid.sql.vocabulary import Vocabulary

DIALECT = "duckdb"
PARAMETER = "shared_"
"""Before the name of a shared value, where the query has a parameter for it."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SCHEMAS = {"information_schema", "main", "pg_catalog"}
_READING = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}


@dataclass(frozen=True)
class Query:
    """A query that has been read.

    Attributes:
        source: As the user wrote it.
        text: As DuckDB is to understand it, with parameters in place of shared values.
        tree: The same as sqlglot has it; None if it cannot be trusted with this query.
        tables: The names that it reads, in no order; URLs among them.
        parameters: Values for the parameters.
        shared: Names of the shared values; the parameters have their numbers.
        explain: Whether the plan is asked for.
    """

    source: str
    text: str
    tree: exp.Query | None
    tables: tuple[str, ...]
    parameters: dict[str, Any]
    shared: tuple[str, ...] = ()
    explain: bool = False


def is_url(name: str) -> bool:
    """Whether a table's name is a URL."""
    return _URL.match(name) is not None


def parse(
    source: str,
    shared: Mapping[str, Any] | None,
    vocabulary: Vocabulary,
    schemas: Callable[[list[str]], Mapping[str, pa.Schema]],
) -> Query:
    """Read a query.

    Args:
        source: The query.
        shared: Values for `shared.NAME`.
        vocabulary: The functions there are.
        schemas: Returns the Arrow schemas of tables and URLs, of those that exist.

    Raises:
        SQLError: it cannot be read.
        SQLRefusedError: it would do something other than read tables.
    """
    try:
        source.encode()
    except UnicodeEncodeError as exc:  # of a command line's bytes, or of JSON
        raise SQLError("the query is no UTF-8", source, exc.start) from None
    values = dict(shared or {})  # what is rewritten may need some of its own
    text, plain, explain, parameters = _prepared(source, values)
    original = read(plain)
    if original is not None:
        names = {table.name for table in original.find_all(exp.Table) if table.name}
        changed = functions.rewrite(
            original,
            schemas=schemas(sorted(names)),
            shared=values,
            aggregates=vocabulary.aggregates,
        )
        if changed is not original:
            parameters = _put_parameters(changed, values, source)
            text = write(changed)
    tree = read(text)
    statements = _statements(text, source, vocabulary)
    _check(statements[0], source, vocabulary)
    # Of `a.f()` for `f(a)` neither parser knows that `a` is a column, so it is not taken apart.
    chained = any(node.get("schema") for node in nodes(statements) if "function_name" in node)
    if tree is not None and (chained or not same(tree, statements, vocabulary)):
        tree = None
    tables = tuple(_tables(statements[0]))
    return Query(source, text, tree, tables, parameters, tuple(values), explain)


def _put_parameters(tree: exp.Expr, shared: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Put parameters in place of `shared.NAME` in a tree; return their values."""
    parameters: dict[str, Any] = {}
    for column in list(tree.find_all(exp.Column)):
        if column.table.lower() != "shared" or column.args.get("db"):
            continue
        name, value = _parameter(column.name, shared, source, None)
        parameters[name] = value
        column.replace(exp.Placeholder(this=name))
    return parameters


def _parameter(
    name: str, shared: Mapping[str, Any], source: str, position: int | None
) -> tuple[str, Any]:
    found = _shared_name(name, shared)
    if found is None:
        raise SQLError(f"there is no shared value {name!r}", source, position)
    return f"{PARAMETER}{list(shared).index(found)}", _bindable(shared[found])


def _prepared(source: str, shared: Mapping[str, Any]) -> tuple[str, str, bool, dict[str, Any]]:
    """Return the text with parameters for shared values, and without, whether to explain, the values."""
    tokens = _tokens(source, source)
    explain = bool(tokens) and tokens[0].text.upper() == "EXPLAIN"
    start = tokens[0].end + 1 if explain else 0
    if explain:  # which sqlglot takes all that follows for one text of
        tokens = _tokens(" " * start + source[start:], source)
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise SQLError("there is no query", source)
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise SQLRefusedError("one query at a time", source)
    end = tokens[-1].end + 1
    pieces: list[str] = []
    parameters: dict[str, Any] = {}
    at = start = tokens[0].start
    for before, first, dot, name in zip(
        [None, *tokens], tokens, tokens[1:], tokens[2:], strict=False
    ):
        if (
            first.text.lower() != "shared"
            or first.token_type not in (TokenType.VAR, TokenType.IDENTIFIER)
            or dot.token_type != TokenType.DOT
            or (before is not None and before.token_type == TokenType.DOT)
        ):
            continue
        parameter, value = _parameter(name.text, shared, source, first.start)
        parameters[parameter] = value
        pieces += [source[at : first.start], f"${parameter}"]
        at = name.end + 1
    return "".join([*pieces, source[at:end]]), source[start:end], explain, parameters


def _tokens(text: str, source: str) -> list[Token]:
    try:
        return list(sqlglot.tokenize(text, read=DIALECT))
    except (SqlglotError, ValueError) as exc:
        raise SQLError(str(exc), source) from exc


def _shared_name(name: str, shared: Mapping[str, Any]) -> str | None:
    if name in shared:
        return name
    folded = [known for known in shared if known.lower() == name.lower()]
    return folded[0] if len(folded) == 1 else None


def _bindable(value: Any) -> Any:
    """Return a value as DuckDB takes it as a parameter."""
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _coarse(value).tolist()
    if isinstance(value, dict):
        return {name: _bindable(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_bindable(each) for each in value]
    return value


def _coarse(value: Any) -> Any:
    """Return a value; NumPy's times in a unit that Python has, as they would become numbers else."""
    import numpy as np

    if not isinstance(value, np.ndarray | np.generic):
        return value
    dtype: Any = value.dtype
    if dtype.kind not in "mM" or np.datetime_data(dtype)[0] not in {"ns", "ps", "fs", "as"}:
        return value
    made = value.astype(f"{dtype.kind}8[us]")
    if not np.array_equal(made.astype(dtype), value, equal_nan=True):
        raise SQLError("a shared value has times finer than a microsecond; pass them as text")
    return made


def _statements(text: str, source: str, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    try:
        statements = vocabulary.statements(text)
    except SQLError as exc:
        if "Only SELECT" in exc.why:
            values = ", PIVOT with the values in IN" if "pivot" in text.lower() else ""
            raise SQLRefusedError(f"only SELECT is allowed{values}", source) from None
        position = exc.position if text == source else None
        raise SQLError(exc.why, source, position) from None
    if len(statements) != 1:
        raise SQLRefusedError("one query at a time", source)
    return statements


def _check(statement: dict[str, Any], source: str, vocabulary: Vocabulary) -> None:
    """Raise SQLRefusedError for all that is not reading tables."""
    for node in nodes(statement):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _READING:
            raise SQLRefusedError("only SELECT is allowed", source)
        if kind == "SHOW_REF":
            raise SQLRefusedError(
                "SHOW, DESCRIBE and SUMMARIZE are not allowed;"
                " `fscache tables ls` lists the tables, and `fscache tables show` a table's columns",
                source,
            )
        if kind == "BASE_TABLE" and (node.get("schema_name") or node.get("catalog_name")):
            name = ".".join([node["catalog_name"], node["schema_name"], node["table_name"]])
            raise SQLRefusedError(f"tables have no schema: {name.strip('.')}", source, _at(node))
        if kind == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in TABLE_FUNCTIONS:
                raise SQLRefusedError(
                    f"the table function {name} is not allowed", source, _at(node)
                )
        elif "function_name" in node:
            name = node["function_name"].lower()
            if name in REFUSED:
                raise SQLRefusedError(f"the function {name} is not allowed", source, _at(node))
            if name not in vocabulary.functions and name not in TABLE_FUNCTIONS:
                raise SQLError(f"No such function: {name}", source, _at(node))
            if node.get("schema", "").lower() in _SCHEMAS:
                raise SQLRefusedError(f"functions have no schema: {name}", source, _at(node))


def _at(node: dict[str, Any]) -> int | None:
    position = node.get("query_location")
    return position if isinstance(position, int) and position < 1 << 40 else None


def _tables(statement: dict[str, Any]) -> list[str]:
    found = {node["table_name"] for node in nodes(statement) if node.get("type") == "BASE_TABLE"}
    return sorted(found)
