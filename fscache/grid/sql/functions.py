"""What this package adds to DuckDB's functions, aggregates and names. Pure but for `install`.

    minmax(x)                                        least and greatest finite value
    histogram(x, bins => 50, range => (10, 30))      counts and edges, as NumPy's
    histogram2d(x, y, bins => (200, 400))            the same in two dimensions
    crossmatch(position, shared.mine, 5 / arcsec, id, …)    all pairs closer than an angle
    flux2mag(nJy)                                    AB magnitude
    pi degree arcmin arcsec                          an angle in radians × degree is in degrees

An aggregate may stand within another one: `sum(x - min(x))`. Columns of tables are found by nested
names and by flat ones with dots, and some that are not there are worked out (see `names`).

Everything becomes plain SQL before the query is planned, so it is split over workers like any other.
A query that DuckDB alone accepts is not changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlglot import exp

from fscache.grid.sql.arrays import install
from fscache.grid.sql.crossmatches import NAME as CROSSMATCH
from fscache.grid.sql.crossmatches import place_crossmatches
from fscache.grid.sql.dialect import Plain
from fscache.grid.sql.histograms import histogram, histogram2d, is_ours, minmax
from fscache.grid.sql.names import replacements, resolve
from fscache.grid.sql.nesting import AGGREGATES, nested, unnest
from fscache.grid.sql.snippets import put

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pyarrow as pa

__all__ = ["install", "rewrite"]

_Query = TypeVar("_Query", bound=exp.Expr)
_OURS = frozenset({"histogram", "histogram2d", "minmax"})
_NAMES = _OURS | {CROSSMATCH}


def rewrite(
    expression: _Query,
    *,
    schemas: Mapping[str, pa.Schema] | None = None,
    shared: dict[str, Any] | None = None,
    aggregates: Collection[str] = AGGREGATES,
) -> _Query:
    """Return a query without our functions and names.

    Args:
        expression: The query as parsed, `shared.NAME` as columns; it is left as it is, and returned if
            nothing in it is ours.
        schemas: Of the tables and URLs that it names, by these names.
        shared: The values of `shared.NAME`. Bins and ranges become part of the query, points that are
            to be matched another value here.
        aggregates: Names of the functions that make one value of many rows.

    Raises:
        SQLError: one of our functions has the wrong arguments.
    """
    calls = any(each.name.lower() in _NAMES for each in expression.find_all(exp.Anonymous))
    ours = calls or any(True for _ in replacements(expression, schemas or {}))
    if not ours and not nested(expression, aggregates):
        return expression
    made = expression.copy()
    values = shared if shared is not None else {}
    names = _names(made)
    resolve(made, schemas or {})
    # The inner ones first: an outer one takes copies of its arguments.
    for call in reversed(list(made.find_all(exp.Anonymous))):
        name = call.name.lower()
        if name in _OURS and (name != "histogram" or is_ours(call)):
            put(call, _written_out(name, call, values))
    if any(call.name.lower() == CROSSMATCH for call in made.find_all(exp.Anonymous)):
        place_crossmatches(made, values, aggregates)
    for select in list(made.find_all(exp.Select)):
        unnest(select, aggregates)
    _restore(names)
    return made


def _written_out(name: str, call: exp.Anonymous, shared: Mapping[str, Any]) -> exp.Expr:
    if name == "minmax":
        return minmax(call)
    if name == "histogram":
        return histogram(call, shared)
    return histogram2d(call, shared)


def _names(statement: exp.Expr) -> list[tuple[exp.Select, int, str, str]]:
    """Return the results that have no name: of which SELECT, the how many-th, its text and name."""
    found = []
    for select in statement.find_all(exp.Select):
        for place, item in enumerate(select.expressions):
            if not isinstance(item, exp.Alias | exp.Star):
                text = _text(item)
                name = item.name if isinstance(item, exp.Column | exp.Dot) else text
                found.append((select, place, text, name))
    return found


def _restore(names: list[tuple[exp.Select, int, str, str]]) -> None:
    """Give results that were rewritten the name that they would have had."""
    for select, place, before, name in names:
        item = select.expressions[place]
        flat = isinstance(item, exp.Column)
        if not flat and _text(item) != before:
            item.replace(exp.alias_(item.copy(), name, quoted=True))


def _text(item: exp.Expr) -> str:
    return str(item.sql(Plain, normalize_functions="lower"))
