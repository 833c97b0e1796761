"""Names in a query: constants, columns whose names have dots, and columns that are worked out. Pure.

`forced.i.psfflux_flux` is a field of a field of a column, which DuckDB finds by itself, or else a
column whose own name has dots, as files without nested columns have them. Where there is neither,

    x_mag           is flux2mag(x_flux)
    x_ra, x_dec     are the angles of the unit vector x, in radians; x_ra from 0 up to 2π

A column or an alias of the query always goes before a constant or such a column of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from fscache.grid.sql.snippets import CONSTANTS, fill, number, put

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

_RA = "atan2(_v[2], _v[1]) + (atan2(_v[2], _v[1]) < 0)::DOUBLE * 6.283185307179586e0"
_DEC = "atan2(_v[3], sqrt(_v[1] * _v[1] + _v[2] * _v[2]))"


def resolve(statement: exp.Expr, schemas: Mapping[str, pa.Schema]) -> None:
    """Replace constants and the columns that DuckDB would not find, in place."""
    for old, new in list(replacements(statement, schemas)):
        put(old, new)


def replacements(
    statement: exp.Expr, schemas: Mapping[str, pa.Schema]
) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """Yield what is to be replaced, and by what; the statement is left as it is."""
    taken = {alias.alias.lower() for alias in statement.find_all(exp.Alias)}
    for alias in statement.find_all(exp.TableAlias):
        taken |= {name.name.lower() for name in alias.columns}
    held = taken | {name.lower() for schema in schemas.values() for name in schema.names}
    for column in statement.find_all(exp.Column):
        whole, parts = _path(column)
        if len(parts) == 1 and (isinstance(column.this, exp.Star) or parts[0].lower() in taken):
            continue
        for name, schema in _sources(column, schemas):
            found = _find(parts, name, schema)
            if found is not None:
                yield whole, found
                break
        else:
            constant = parts[0].lower() if len(parts) == 1 else ""
            if constant in CONSTANTS and constant not in held:
                yield whole, number(CONSTANTS[constant])


def _path(column: exp.Column) -> tuple[exp.Expr, list[str]]:
    """Return the parts of a name, and the expression that is all of it."""
    parts = [part.name for part in column.parts]
    whole: exp.Expr = column
    while isinstance(whole.parent, exp.Dot) and whole.parent.this is whole:
        field = whole.parent.expression
        if not isinstance(field, exp.Identifier):
            break
        parts.append(field.name)
        whole = whole.parent
    return whole, parts


def _sources(
    column: exp.Column, schemas: Mapping[str, pa.Schema]
) -> Iterator[tuple[str, pa.Schema]]:
    """Yield name and schema of the tables that a name may belong to, the nearest first."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        joined = [select.args.get("from_"), *(select.args.get("joins") or ())]
        for clause in joined:
            table = clause.this if clause is not None else None
            if isinstance(table, exp.Table) and table.name in schemas:
                yield table.alias_or_name, schemas[table.name]
        select = select.find_ancestor(exp.Select)


def _find(parts: list[str], source: str, schema: pa.Schema) -> exp.Expr | None:
    """Return what takes the place of a name; None where DuckDB needs no help, or there is none."""
    table = None
    if len(parts) > 1 and parts[0].lower() == source.lower():
        table, parts = source, parts[1:]
    if _follow(parts, 1, schema):
        return None
    flat = _look(parts, table, schema)
    if flat is not None:
        return flat[0]
    *above, last = parts
    base, _, kind = last.rpartition("_")
    if kind.lower() == "mag":
        flux = _look([*above, f"{base}_flux"], table, schema)
        return fill("flux2mag(_flux)", _flux=flux[0]) if flux is not None else None
    if kind.lower() in ("ra", "dec"):
        vector = _look([*above, base], table, schema)
        if vector is not None and _is_vector(vector[1]):
            return fill(_RA if kind.lower() == "ra" else _DEC, _v=vector[0])
    return None


def _look(
    parts: list[str], table: str | None, schema: pa.Schema
) -> tuple[exp.Expr, pa.DataType] | None:
    """Return a column, or a field in one, with its type; the first parts may be one flat name."""
    for count in range(1, len(parts) + 1):
        found = _follow(parts, count, schema)
        if found:
            (name, *fields), kind = found
            made: exp.Expr = exp.column(name, table=table, quoted=True)
            for field in fields:
                made = exp.Dot(this=made, expression=exp.to_identifier(field, quoted=True))
            return made, kind
    return None


def _follow(
    parts: list[str], count: int, schema: pa.Schema
) -> tuple[list[str], pa.DataType] | None:
    """Return the real names, where the first `count` parts are one column and the rest its fields."""
    import pyarrow as pa

    found = []
    fields: list[pa.Field] = list(schema)
    kind: pa.DataType | None = None
    for name in (".".join(parts[:count]), *parts[count:]):
        field = next((each for each in fields if each.name.lower() == name.lower()), None)
        if field is None:
            return None
        found.append(field.name)
        kind = field.type
        fields = list(kind) if pa.types.is_struct(kind) else []
    return found, kind


def _is_vector(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in lists) and pa.types.is_floating(kind.value_type)
