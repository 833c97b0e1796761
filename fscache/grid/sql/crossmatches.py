"""`crossmatch` as a join over cells. Pure.

    crossmatch(position, shared.mine / degree, 5 / arcsec, id, flux)

gives all pairs of a row and a point of `shared.mine` that are at most an angle apart, as a struct:
`obj_indices` are numbers of points, `fields` the values of the rows, each a list as long. A position
is a unit vector, or a row of RA and Dec in radians; points are two or three rows of an array.
The order of the pairs is not defined. With GROUP BY, each group has its own pairs.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlglot import exp

from fscache.errors import SQLError
from fscache.grid.sql import cells
from fscache.grid.sql.nesting import aggregates, copy_source, fresh, group_keys, join
from fscache.grid.sql.snippets import evaluate, fill, is_shared, number

if TYPE_CHECKING:
    from collections.abc import Collection

NAME = "crossmatch"

_CELL = "TRY_CAST(floor(({axis} + 1) * _scale) AS BIGINT) * {factor}"  # NaN is in no cell
_KEY = " + ".join(
    _CELL.format(axis=axis, factor=factor)
    for axis, factor in (("_x", cells.AXIS**2), ("_y", cells.AXIS), ("_z", 1))
)
_SQUARE = " + ".join(
    f"({axis} - {point}) * ({axis} - {point})"
    for axis, point in (("_x", "_px"), ("_y", "_py"), ("_z", "_pz"))
)
_NEAR = f"_pk = {_KEY} AND {_SQUARE} <= _limit"


def place_crossmatches(statement: exp.Expr, shared: dict[str, Any], known: Collection[str]) -> None:
    """Replace all calls, in place; the points of each are added to the shared values.

    Raises:
        SQLError: wrong arguments.
    """
    for call in list(statement.find_all(exp.Anonymous)):
        if call.name.lower() != NAME:
            continue
        select = call.find_ancestor(exp.Select)
        if select is None or select.args.get("from_") is None:
            raise SQLError("crossmatch needs a table")
        _place(call, select, shared, known)


def _place(
    call: exp.Anonymous, select: exp.Select, shared: dict[str, Any], known: Collection[str]
) -> None:
    if len(call.expressions) < 3:
        raise SQLError("crossmatch takes a position, points, an angle, and fields")
    position, points, angle, *fields = call.expressions
    keys = group_keys(select)
    chord = cells.chord(float(evaluate(angle, shared)))
    where = cells.as_points(evaluate(points, shared))
    name = next(each for n in count() if (each := f"__points{n}") not in shared)
    shared[name] = cells.pack(where)
    noted = fill(
        "fscache_points(_packed, _chord)",
        _packed=exp.column(name, table="shared"),
        _chord=number(chord),
    )
    pairs = _pairs(select, keys, _axes(position), fields, noted, points=where, chord=chord)
    numbered = [exp.column(f"__k{n}") for n in range(len(keys))]
    names = _field_names(fields)
    result = _struct(names, [fill(f"coalesce(list(f{n}), [])") for n in range(len(names))])
    inner = exp.select(*numbered, exp.alias_(result, "__c")).from_(pairs.subquery("pairs"))
    if keys:
        alias = fresh(select)
        nothing = _struct(names, [fill("[]")] * len(names), fill("[]::BIGINT[]"))
        found = fill("coalesce(any_value(_c), _no)", _c=exp.column("__c", table=alias), _no=nothing)
        call.replace(found)
        join(select, inner.group_by(*numbered), alias, keys, side="left")
        return
    call.replace(inner.subquery())
    if not _reads(select, known):
        for clause in ("from_", "joins", "where"):
            select.set(clause, None)


def _pairs(
    select: exp.Select,
    keys: list[exp.Expr],
    axes: dict[str, exp.Expr],
    fields: list[exp.Expr],
    noted: exp.Expr,
    *,
    points: np.ndarray[Any, Any],
    chord: float,
) -> exp.Select:
    """Return a query for the pairs: point, keys, and fields."""
    alias = fresh(select)
    made = exp.select(
        exp.alias_(exp.column("__i", table=alias), "i"),
        *(exp.alias_(key.copy(), f"__k{n}") for n, key in enumerate(keys)),
        *(exp.alias_(field.copy(), f"f{n}") for n, field in enumerate(fields)),
    )
    copy_source(select, made)
    point = exp.select(*(exp.alias_(fill(f"p.{name}"), f"__{name}") for name in "kixyz")).from_(
        exp.select(exp.alias_(fill("unnest(_all)", _all=noted), "p")).subquery("noted")
    )
    parts = {
        "_scale": number(1 / cells.width(chord)),
        "_limit": number(chord * chord),
        **axes,
        **{f"_p{name}": exp.column(f"__{name}", table=alias) for name in "kxyz"},
    }
    made.join(point.subquery(alias), on=fill(_NEAR, **parts), join_type="inner", copy=False)
    # What lies far from all points need not be looked up, and where positions are columns of their
    # own the file's statistics may spare whole row groups.
    known = points[np.isfinite(points).all(axis=1)]
    for name, row in zip("xyz", known.T, strict=True):
        low, high = (row.min() - chord, row.max() + chord) if len(row) else (1.0, 0.0)
        box = fill("_v BETWEEN _l AND _h", _v=axes[f"_{name}"], _l=number(low), _h=number(high))
        made.where(box, copy=False)
    return made


def _axes(position: exp.Expr) -> dict[str, exp.Expr]:
    """Return x, y and z of a position."""
    row = position.expressions if isinstance(position, exp.Tuple | exp.Array) else []
    if len(row) == 2:
        angles = {"_ra": row[0], "_dec": row[1]}
        texts = ("cos(_dec) * cos(_ra)", "cos(_dec) * sin(_ra)", "sin(_dec)")
        return {f"_{name}": fill(text, **angles) for name, text in zip("xyz", texts, strict=True)}
    if len(row) == 3:
        return {f"_{name}": part for name, part in zip("xyz", row, strict=True)}
    if row:
        raise SQLError("a position is a unit vector, or RA and Dec")
    return {f"_{name}": fill(f"_v[{n}]", _v=position) for n, name in enumerate("xyz", 1)}


def _field_names(fields: list[exp.Expr]) -> list[str]:
    """Return the names of fields: of columns theirs, if no other has it; else their number."""
    names = [field.name if isinstance(field, exp.Column | exp.Dot) else "" for field in fields]
    return [
        name if name and names.count(name) == 1 else f"field{n}" for n, name in enumerate(names)
    ]


def _struct(names: list[str], lists: list[exp.Expr], numbers: exp.Expr | None = None) -> exp.Expr:
    pairs = [("obj_indices", numbers or fill("coalesce(list(i), [])"))]
    if names:  # there is no empty struct
        pairs.append(("fields", _pack(list(zip(names, lists, strict=True)))))
    return _pack(pairs)


def _pack(pairs: list[tuple[str, exp.Expr]]) -> exp.Expr:
    return exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.Literal.string(name), expression=value.copy())
            for name, value in pairs
        ]
    )


def _reads(select: exp.Select, known: Collection[str]) -> bool:
    """Whether the results of a SELECT still need its rows."""
    return bool(aggregates(select, known)) or any(
        found.find_ancestor(exp.Select) is select and not is_shared(found)
        for item in select.expressions
        for found in item.find_all(exp.Column, exp.Star)
    )
