"""Pieces of SQL with holes, and constants that are worked out beforehand. Pure.

What takes the place of a function is written as the SQL that it is, and its holes are filled with
expressions, never with text: nothing of a user's query is ever spliced.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlglot import exp

from fscache.errors import SQLError
from fscache.grid.sql.dialect import read, write

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSTANTS = {
    "pi": math.pi,
    "degree": 180 / math.pi,
    "arcmin": 60 * 180 / math.pi,
    "arcsec": 3600 * 180 / math.pi,
}
"""An angle in radians times one of these is in that unit, and divided by it back in radians."""

_BINARY: dict[type[exp.Expr], Any] = {
    exp.Add: np.add,
    exp.Sub: np.subtract,
    exp.Mul: np.multiply,
    exp.Div: np.divide,
}


@cache
def _parsed(text: str) -> exp.Expr:
    parsed = read(f"SELECT {text}")
    assert parsed is not None  # noqa: S101 - the texts are ours
    return parsed.selects[0]


def fill(text: str, **parts: exp.Expr) -> exp.Expr:
    """Return the expression of `text`, its bare names of `parts` replaced by those."""
    made = _parsed(text).copy()
    for column in list(made.find_all(exp.Column)):
        part = parts.get(column.name)
        if part is not None and not column.table:
            column.replace(exp.paren(part.copy()))
    return made


def put(old: exp.Expr, new: exp.Expr) -> None:
    """Have an expression take the place of another one, as a whole."""
    old.replace(exp.paren(new) if isinstance(new, exp.Binary | exp.Unary) else new)


def number(value: float) -> exp.Expr:
    """Return a DOUBLE; written without an exponent DuckDB would take it for a decimal."""
    if not math.isfinite(value):
        return exp.cast(exp.Literal.string(str(float(value))), "double")
    if math.copysign(1.0, value) < 0:
        return exp.Neg(this=number(-value))
    text = repr(float(value))
    return exp.Literal.number(text if "e" in text else f"{text}e0")


def numbers(values: Any) -> exp.Expr:
    """Return a list of DOUBLEs."""
    return exp.Array(expressions=[number(value) for value in values])


def evaluate(expression: exp.Expr, shared: Mapping[str, Any]) -> Any:
    """Return the number or array that an expression without columns stands for.

    Arithmetic on whole arrays is NumPy's: `shared.mine / degree` divides every element.

    Raises:
        SQLError: it depends on the rows, or asks for a shared value that is not there.
    """
    if isinstance(expression, exp.Paren):
        return evaluate(expression.this, shared)
    if isinstance(expression, exp.Neg):
        return np.negative(evaluate(expression.this, shared))
    if isinstance(expression, exp.Literal) and not expression.is_string:
        return (
            float(expression.this)
            if "." in expression.this or "e" in expression.this.lower()
            else int(expression.this)
        )
    if isinstance(expression, exp.Tuple | exp.Array):
        return [evaluate(each, shared) for each in expression.expressions]
    if type(expression) in _BINARY:
        left, right = (
            np.asarray(evaluate(side, shared)) for side in (expression.this, expression.expression)
        )
        return _BINARY[type(expression)](left, right)
    if isinstance(expression, exp.Column):
        name = expression.name
        if is_shared(expression):
            if name not in shared:
                raise SQLError(f"there is no shared value {name!r}")
            return shared[name]
        if not expression.table and name.lower() in CONSTANTS:
            return CONSTANTS[name.lower()]
    raise SQLError(f"{write(expression)} must not depend on the rows")


def is_shared(expression: exp.Expr) -> bool:
    """Whether this stands for a value that is passed with the query."""
    return isinstance(expression, exp.Column) and expression.table.lower() == "shared"


def named(
    call: exp.Anonymous, known: tuple[str, ...]
) -> tuple[list[exp.Expr], dict[str, exp.Expr]]:
    """Return the arguments of a call by position and by name.

    Raises:
        SQLError: an argument by name that is not one of `known`.
    """
    place: list[exp.Expr] = []
    by_name: dict[str, exp.Expr] = {}
    for argument in call.expressions:
        if not isinstance(argument, exp.Kwarg):
            place.append(argument)
            continue
        name = argument.this.name.lower()
        if name not in known:
            raise SQLError(
                f"{call.name.lower()} has no argument {name!r}; it has {', '.join(known)}"
            )
        by_name[name] = argument.expression
    return place, by_name
