"""DuckDB's SQL as sqlglot reads it, with as little as possible made of it.

sqlglot turns functions that it knows into its own notion of them, and writes some back differently
(`log10(x)` as `LOG(10, x)`, whose value is another). So here only those functions are known that
the planner asks for; the others keep their name and arguments. What DuckDB's parser makes of text and
rendering is compared in any case (`same`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError

from fscache.errors import SQLError

if TYPE_CHECKING:
    from fscache.grid.sql.vocabulary import Vocabulary

# It warns of what it cannot read; we ask DuckDB then.
logging.getLogger("sqlglot").setLevel(logging.ERROR)
_KNOWN = ("AVG", "COALESCE", "COUNT", "MAX", "MIN", "SUM")
_ALIASES = {  # names of DuckDB's own for one function
    "argmax": "arg_max",
    "argmin": "arg_min",
    "group_concat": "string_agg",
    "listagg": "string_agg",
    "max_by": "arg_max",
    "min_by": "arg_min",
}
_POWERS = ("**", "^", "pow", "power")
_INTERVALS = (
    "to_days",
    "to_hours",
    "to_minutes",
    "to_months",
    "to_seconds",
    "to_weeks",
    "to_years",
)


class Plain(DuckDB):
    """DuckDB's dialect, with few functions known."""

    class Parser(DuckDB.Parser):  # type: ignore[misc, valid-type]  # made by a metaclass
        """Reads."""

        FUNCTIONS = {  # noqa: RUF012 - as in the class that this derives from
            name: make for name, make in DuckDB.Parser.FUNCTIONS.items() if name in _KNOWN
        }


def read(text: str) -> exp.Query | None:
    """Return a query as sqlglot reads it, None if it cannot."""
    try:
        found = sqlglot.parse(text, read=Plain)
    except (SqlglotError, ValueError, RecursionError):
        return None
    return found[0] if len(found) == 1 and isinstance(found[0], exp.Query) else None


def write(tree: exp.Expr) -> str:
    """Return a tree as text."""
    return str(tree.sql(Plain))


def same(tree: exp.Query, statements: list[dict[str, Any]], vocabulary: Vocabulary) -> bool:
    """Whether DuckDB reads a tree, as it is written, as it has read the statements."""
    try:
        again = vocabulary.statements(write(tree))
        return bool(_plain(again) == _plain(statements))
    except (SQLError, SqlglotError, ValueError, RecursionError):
        return False


def _plain(tree: Any) -> Any:
    """Return what DuckDB's parser has made, but for the places in the text, and spelling."""
    if isinstance(tree, list):
        return [_plain(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    plain = {
        name: _plain(value)
        for name, value in tree.items()
        if name not in ("query_location", "query_location_length", "qualified_name")
    }
    if plain.get("null_order") == "ORDER_DEFAULT":
        plain["null_order"] = "NULLS LAST"  # DuckDB's default, which nobody can change here
    for names in ("type_name", "column_names"):  # case makes no difference
        if names in plain:
            plain[names] = str(plain[names]).lower()
    if plain.get("text", "").startswith("."):
        plain["text"] = "0" + plain["text"]
    if plain.get("type") == "OPERATOR_NOT" and plain["children"][0]["type"] == "OPERATOR_IS_NULL":
        plain = {**plain["children"][0], "type": "OPERATOR_IS_NOT_NULL", "alias": plain["alias"]}
    name = plain.get("function_name")
    if name in _POWERS:
        plain |= {"function_name": "power", "is_operator": False}
    elif name in _ALIASES:
        plain["function_name"] = _ALIASES[name]
    elif name == "if" and len(plain["arguments"]) == 3:
        return _case(plain)
    elif name in _INTERVALS:
        return _unquoted(plain)
    return plain


def _case(call: dict[str, Any]) -> dict[str, Any]:
    """Return `if(a, b, c)` as CASE, which it is defined as."""
    when, then, other = (argument["expression"] for argument in call["arguments"])
    return {
        "class": "CASE",
        "type": "CASE_EXPR",
        "alias": call["alias"],
        "case_checks": [{"when_expr": when, "then_expr": then}],
        "else_expr": other,
    }


def _unquoted(tree: Any) -> Any:
    """Return a tree with the numbers in it, `INTERVAL '3' DAY`, without quotes."""
    if isinstance(tree, list):
        return [_unquoted(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"kind", "text"} and tree["kind"] == "STRING" and tree["text"].isdigit():
        return {"kind": "INTEGER", "text": tree["text"]}
    return {name: _unquoted(value) for name, value in tree.items()}
