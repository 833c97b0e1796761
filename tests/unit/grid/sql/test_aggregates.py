"""Every aggregate that DuckDB knows is split only if it is known how, and right in any case."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import duckdb
import pytest

from fscache.grid.sql.prepare import vocabulary
from tests.support.sqlwork import same_rows

if TYPE_CHECKING:
    from tests.support.sqlwork import Shards

_SPLIT = {
    *("avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "count", "count_star", "max"),
    *("mean", "min", "sum"),
}
# Their value depends on chance, or on the order of rows, and none is given.
_VARYING = {
    *(
        "any_value",
        "approx_count_distinct",
        "approx_quantile",
        "approx_top_k",
        "arbitrary",
        "first",
    ),
    *(
        "group_concat",
        "last",
        "list",
        "listagg",
        "lttb",
        "mode",
        "reservoir_quantile",
        "string_agg",
    ),
    *("arg_max", "arg_min", "argmax", "argmin", "max_by", "min_by", "arg_max_null", "arg_min_null"),
    *("arg_max_nulls_last", "arg_min_nulls_last", "array_agg", "variant_group_object"),
}
_OTHERS = {"bitstring_agg", "combine_aggr", "variant_group_object"}
"""Take what the tables have none of: a range of bits, states of aggregates, variants."""
_ARGUMENTS = ["a", "x", "f", "s", "d", "k"]


def _names() -> list[str]:
    rows = duckdb.sql(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
    )
    return sorted({name for (name,) in rows.fetchall()} - _OTHERS)


def _calls(name: str) -> list[str]:
    """Return calls of an aggregate, of which DuckDB accepts some."""
    single = [f"{name}({argument})" for argument in _ARGUMENTS]
    pairs = [f"{name}({one}, {two})" for one, two in itertools.permutations(_ARGUMENTS, 2)]
    constant = [
        f"{name}({one}, {two})" for one in _ARGUMENTS for two in ("0.5", "2", "','", "[1, 3]")
    ]
    return [f"{name}()", *single, *pairs, *constant, f"{name}(a, 2, 3)", f"{name}(x, d, 4)"]


@pytest.mark.parametrize("name", _names())
def test_an_aggregate_is_split_only_if_it_is_known_how(name: str, tables: Shards) -> None:
    accepted = 0
    for call in _calls(name):
        for query in (
            f"SELECT {call} FROM (SELECT *, a > 3 AS f FROM orders)",
            f"SELECT s, {call} FROM (SELECT o.*, l.f FROM orders o JOIN lines l USING (k)) GROUP BY s",
        ):
            try:
                _names, types, rows = tables.alone(query)
            except duckdb.Error:
                continue
            accepted += 1
            _query, bound = tables.prepare(query)
            if name not in _SPLIT:
                assert bound.plan.kind in {"rows", "gather"}, query
                assert all(f"{name}(" not in step.sql.lower() for step in bound.plan.steps)
            if name not in _VARYING:
                found = tables.sql(query)
                assert found.types == types
                assert same_rows(found.rows(), rows, ordered=False), query
        if accepted >= 3:
            return
    assert accepted


def test_a_macro_that_has_an_aggregate_in_it_is_not_split(tables: Shards) -> None:
    assert "geomean" in vocabulary().functions
    assert "geomean" not in vocabulary().scalars
    query = "SELECT geomean(x + 1), wavg(d, a), geometric_mean(k + 1) FROM orders"
    assert tables.prepare(query)[1].plan.kind == "rows"
    assert same_rows(tables.sql(query).rows(), tables.alone(query)[2], ordered=False)


def test_names_are_judged_by_duckdb_not_by_how_sqlglot_sees_them() -> None:
    words = vocabulary()
    for name in ("product", "mad", "entropy", "fsum", "reservoir_quantile"):
        assert words.traits(f"{name}(x)").groups
        assert words.traits(f"1 + {name}(x)").groups
        assert not words.traits(f"{name}(x)").movable
    assert words.traits("abs(x) + floor(y)").movable
    assert not words.traits("random()").movable
    for text in ("now()", "current_date", "t < current_timestamp", "localtime"):
        assert not words.traits(text).movable
    assert words.traits('s0."user" || s0."today"').movable
    assert not words.traits("sum(x) OVER ()").movable
    assert not words.traits("sum(x) OVER ()").groups
    assert not words.traits("(SELECT max(x))").groups
    assert not words.traits("nosuchfunction(x)").movable
    assert words.traits("nosuchfunction(x)").groups
