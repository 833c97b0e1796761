"""What DuckDB makes of an expression: which functions it calls, and whether it can be moved.

sqlglot does not know every function of DuckDB: aggregates that it takes for scalar functions
(`product`, `mad`, `entropy`, macros such as `geomean`) would be computed per worker, and the answer have
a row for each. So names come from DuckDB's own parser (`json_serialize_sql`) and are judged by DuckDB's
own list of functions; what is not known to be a scalar function without side effects is never moved.
"""

from __future__ import annotations

import json
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from fscache.errors import SQLError
from fscache.grid.sql.bind import parameters_of
from fscache.grid.sql.words import BARE, MOVABLE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Aggregate(NamedTuple):
    """A call of an aggregate at the top of an expression."""

    name: str
    distinct: bool
    ordered: bool
    arguments: tuple[Any, ...]
    parts: tuple[Any, ...]
    """The arguments, and the condition of FILTER, as DuckDB's parser has them."""


class Traits(NamedTuple):
    """What is known of an expression."""

    movable: bool
    """Gives the same value wherever its columns are: scalar functions, nothing that varies."""
    strange: frozenset[str]
    """Names of the functions in it that are no movable scalars, or not known to be."""
    groups: bool
    """Whether it has an aggregate, or what may be one, of the SELECT that it stands in."""
    top: Aggregate | None
    """Set if the expression as a whole is the call of an aggregate."""
    distinct_only: bool
    """Whether all aggregates in it ignore how often a value occurs."""


class Vocabulary:
    """The functions of one connection, and what its parser makes of expressions."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._seen: dict[str, Traits] = {}

    def statements(self, query: str) -> list[dict[str, Any]]:
        """Return what DuckDB's parser makes of SELECT statements.

        Raises:
            SQLError: it cannot read them, they do not only select, or are nested some hundred deep.
        """
        with self._lock:
            rows = self._connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
        try:
            answer = json.loads(rows[0][0])
        except RecursionError:
            raise SQLError("the query is nested too deeply", query) from None
        if answer["error"]:
            position = answer.get("position")
            where = int(position) if position is not None else None
            raise SQLError(str(answer["error_message"]), query, where)
        found: list[dict[str, Any]] = answer["statements"]
        return found

    def traits(self, expression: str) -> Traits:
        """Return what is known of an expression."""
        known = self._seen.get(expression)
        if known is None:
            if len(self._seen) > 10_000:
                self._seen.clear()
            known = self._seen[expression] = self._judge(expression)
        return known

    def judged_movable(self, node: dict[str, Any]) -> bool:
        """Whether an expression, as DuckDB's parser has it, can be moved."""
        return _movable(node, self.scalars)

    def constant(self, expression: str, parameters: Mapping[str, Any]) -> tuple[str, Any] | None:
        """Return the type and value of an expression without columns; None if it has none."""
        query = f"SELECT typeof({expression}), {expression}"
        try:
            with self._lock:
                (row,) = self._connection.execute(
                    query, parameters_of(query, parameters)
                ).fetchall()
        except duckdb.Error:
            return None
        return str(row[0]), row[1]

    @cached_property
    def scalars(self) -> frozenset[str]:
        """Names of functions that can be moved."""
        scalars, others, macros = self._listed
        known = scalars - others
        # A macro can be moved if all that it calls can be; macros call macros.
        while True:
            more = {
                name
                for name, bodies in macros.items()
                if name not in known and all(_movable(body, known) for body in bodies)
            }
            if not more:
                return frozenset(known - REFUSED)
            known |= more

    @cached_property
    def functions(self) -> frozenset[str]:
        """Names of all functions that a query may call."""
        scalars, others, macros = self._listed
        return frozenset((scalars | others | set(macros)) - REFUSED)

    @cached_property
    def aggregates(self) -> frozenset[str]:
        """Names of the aggregates."""
        return self._names("function_type = 'aggregate'")

    @cached_property
    def views(self) -> frozenset[str]:
        """Names that are DuckDB's own views of itself, in small letters."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT view_name FROM duckdb_views()"
                " WHERE internal AND schema_name <> 'information_schema'"  # these need their schema
            ).fetchall()
        return frozenset(name.lower() for (name,) in rows)

    @cached_property
    def timezone(self) -> str:
        """What times without an offset mean on this host."""
        with self._lock:
            rows = self._connection.execute("SELECT current_setting('TimeZone')").fetchall()
        return str(rows[0][0])

    @cached_property
    def steady(self) -> frozenset[str]:
        """Names of functions that depend on nothing but the rows they are given, all of them."""
        return self.scalars | self.aggregates | self._names("function_type = 'window'")

    @cached_property
    def _listed(self) -> tuple[set[str], set[str], dict[str, list[dict[str, Any]]]]:
        scalars = self._names("function_type = 'scalar' AND stability = 'CONSISTENT'")
        others = self._names(
            "function_type IN ('aggregate', 'window')"
            " OR function_type = 'scalar' AND stability IS DISTINCT FROM 'CONSISTENT'"
        )
        macros: dict[str, list[dict[str, Any]]] = {}
        with self._lock:
            rows = self._connection.execute(
                "SELECT lower(function_name), json_serialize_sql('SELECT ' || macro_definition)"
                " FROM duckdb_functions() WHERE function_type = 'macro'"
            ).fetchall()
        for name, text in rows:
            answer = json.loads(text)
            # One that cannot be read calls what nobody knows, as far as we can tell.
            body = {"function_name": "?"} if answer["error"] else answer["statements"][0]["node"]
            macros.setdefault(name, []).append(body.get("select_list", [body])[0])
        return set(scalars), set(others), macros

    def _names(self, condition: str) -> frozenset[str]:
        with self._lock:
            rows = self._connection.execute(
                f"SELECT DISTINCT function_name FROM duckdb_functions() WHERE {condition}"  # noqa: S608
            ).fetchall()
        return frozenset(name.lower() for (name,) in rows)

    def _judge(self, expression: str) -> Traits:
        try:
            node = _first(self.statements(f"SELECT {expression}"))
        except (SQLError, LookupError):
            return Traits(
                movable=False, strange=frozenset({"?"}), groups=True, top=None, distinct_only=False
            )
        called = list(_calls(node))
        strange = [call for call in called if _called(call) not in self.scalars]
        top = None
        if node["class"] == "FUNCTION" and node["function_name"].lower() in self.aggregates:
            arguments = tuple(each["expression"] for each in node["arguments"])
            top = Aggregate(
                node["function_name"].lower(),
                bool(node["distinct"]),
                bool(node["order_bys"].get("orders")),
                arguments,
                (*arguments, *([node["filter"]] if node["filter"] else [])),
            )
        return Traits(
            _movable(node, self.scalars),
            frozenset(_called(call) or "" for call in strange),
            any(_called(call) not in self.scalars for call in _own(node)),
            top,
            all(call.get("distinct") or _called(call) in ("min", "max") for call in strange),
        )


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all nodes of what DuckDB's parser has made."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _first(statements: list[dict[str, Any]]) -> dict[str, Any]:
    (statement,) = statements
    (expression,) = statement["node"]["select_list"]
    if statement["node"]["from_table"]["type"] != "EMPTY":
        raise LookupError("not an expression alone")
    found: dict[str, Any] = expression
    return found


def _called(node: dict[str, Any]) -> str | None:
    """Return the name of the function that a node calls, in small letters; None if it calls none."""
    if "function_name" in node:
        return str(node["function_name"]).lower()
    names = node.get("column_names")
    # DuckDB's parser takes these, which have no parentheses, for columns.
    if names and len(names) == 1 and names[0].lower() in BARE:
        return str(names[0]).lower()
    return None


def _calls(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (each for each in nodes(node) if _called(each) is not None)


def _own(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the calls in an expression that belong to its SELECT, and are no windows."""
    if isinstance(node, list):
        for item in node:
            yield from _own(item)
    elif isinstance(node, dict) and node.get("class") != "SUBQUERY":
        if _called(node) is not None and node.get("class") != "WINDOW":
            yield node
        for item in node.values():
            yield from _own(item)
    elif isinstance(node, dict) and node.get("child"):
        yield from _own(node["child"])  # the left side of IN


def _movable(node: dict[str, Any], known: set[str] | frozenset[str]) -> bool:
    return all(
        ("class" not in each or each["class"] in MOVABLE)
        and ((name := _called(each)) is None or name in known)
        for each in nodes(node)
    )
