"""The 22 queries of TPC-H over shards give what one DuckDB gives, in value and type."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.grid.sql.facts import Key, Limits
from tests.support import tpch
from tests.support.sqlwork import Shards, same_rows

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARDS = 6


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Shards]:
    top = tmp_path_factory.mktemp("tpch")
    paths = tpch.generate(str(top), 0.01)
    made: dict[bool, Shards] = {}

    def build(aligned: bool) -> Shards:
        if aligned not in made:
            directory = top / f"cut {aligned}"
            os.mkdir(directory)
            files, bounds = tpch.cut(paths, str(directory), _SHARDS, aligned=aligned)
            shards = made[aligned] = Shards(str(top))
            for name, listed in files.items():
                dealt = aligned and name in tpch.KEYS
                key = Key(tpch.KEYS[name], ("range", bounds, _SHARDS, "BIGINT")) if dealt else None
                shards.add(name, listed, key)
        return made[aligned]

    return build


@pytest.mark.parametrize("number", range(1, 23))
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(
    "limits", [Limits(), Limits(large=0), Limits(replicated=0), Limits(replicated=0, large=0)]
)
def test_tpch(layout: Callable[[bool], Shards], number: int, aligned: bool, limits: Limits) -> None:
    """Also where no table may be read whole by every worker, and where keys are always asked for."""
    shards = layout(aligned)
    shards.limits = limits
    query = tpch.QUERIES[number - 1]
    names, types, rows = shards.alone(query)
    found = shards.sql(query)
    assert (found.columns, found.types) == (names, types)
    assert same_rows(found.rows(), rows, ordered=tpch.ordered(query))
    assert rows or number in {2, 18, 20}


def test_what_is_dealt_alike_is_never_read_whole(layout: Callable[[bool], Shards]) -> None:
    shards = layout(True)
    shards.limits = None
    for number in (1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 18, 19, 21):
        _query, bound = shards.prepare(tpch.QUERIES[number - 1])
        (step,) = bound.plan.steps
        assert not {"lineitem", "orders"} & set(step.wholes.values()), number
        assert step.kind in {"two-phase", "partition"}, number


def test_shards_are_relations_of_their_own_where_rows_are_asked_for(
    layout: Callable[[bool], Shards],
) -> None:
    """For the semi-joins of Q4, Q18 and Q21 where tables are dealt alike; not for the join of Q12."""
    each = {}
    for aligned in (True, False):
        shards = layout(aligned)
        shards.limits = None
        for number in (4, 12, 18, 21):
            _query, bound = shards.prepare(tpch.QUERIES[number - 1])
            each[aligned, number] = any(step.each for step in bound.plan.steps)
    assert {key for key, value in each.items() if value} == {(True, 4), (True, 18), (True, 21)}
