"""Keys of one table filter another one: where they may, where they must not, and when they are many."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import duckdb
import pytest

from fscache.grid.sql.facts import Limits
from tests.support import tpch
from tests.support.sqlwork import Shards, same_rows

if TYPE_CHECKING:
    from fscache.grid.sql.facts import Step


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """`parts` in one shard; `lines`, of which each is of a part, in four, and not dealt by it."""
    top = str(tmp_path_factory.mktemp("keys"))
    made = Shards(top)
    queries = {
        "parts": "SELECT i AS id, 'brand ' || i % 100 AS brand, i % 5 AS size,"
        " DATE '2020-01-01' + (i % 30)::INTEGER AS day, (i / 4)::DECIMAL(9, 2) AS price,"
        " i::DOUBLE AS weight, CASE WHEN i % 9 = 0 THEN NULL ELSE i END AS other"
        " FROM range(400) r(i)",
        "lines": "SELECT i AS line, CASE WHEN i % 13 = 0 THEN NULL ELSE i * 7 % 400 END AS part,"
        " i % 10 AS amount, (i * 7 % 400)::DOUBLE AS weight, (i % 400 / 4)::DECIMAL(9, 2) AS price,"
        " 'brand ' || i % 100 AS brand, DATE '2020-01-01' + (i % 30)::INTEGER AS day"
        " FROM range(8000) r(i) WHERE i // 2000 = {n}",
    }
    with duckdb.connect() as connection:
        for name, query in queries.items():
            paths = [os.path.join(top, f"{name}.{n}.parquet") for n in range(4)]
            for number, path in enumerate(paths[: 1 if name == "parts" else 4]):
                asked = query.format(n=number)
                connection.execute(f"COPY ({asked}) TO '{path}' (FORMAT parquet)")
            made.add(name, paths[: 1 if name == "parts" else 4])
    made.limits = Limits(large=os.path.getsize(made.paths["parts"][0]))
    return made


def steps_of(tables: Shards, query: str) -> list[Step]:
    names, types, rows = tables.alone(query)
    found = tables.sql(query)
    assert (found.columns, found.types) == (names, types)
    assert same_rows(found.rows(), rows, ordered=False)
    return tables.ran


_ONE = "p.brand = 'brand 7'"


@pytest.mark.parametrize(
    "query",
    [
        "FROM parts p WHERE {few} AND EXISTS (FROM lines l WHERE l.part = p.id AND l.amount > 3)",
        "FROM parts p WHERE {few} AND NOT EXISTS (FROM lines l WHERE l.part = p.id AND l.amount > 8)",
        "SELECT p.id, (SELECT count(*) FROM lines l WHERE l.part = p.id) FROM parts p WHERE {few}",
        "FROM parts p WHERE {few} AND p.size < (SELECT avg(l.amount) FROM lines l WHERE l.part = p.id)",
        "SELECT p.id, line FROM parts p LEFT JOIN lines l ON l.part = p.id AND amount > 3 WHERE {few}",
        "SELECT p.id FROM parts p ANTI JOIN lines l ON l.part = p.id WHERE {few}",
        "FROM parts p WHERE {few} AND p.id IN (SELECT l.part FROM lines l WHERE l.amount < 4)",
        "FROM parts p WHERE {few} AND EXISTS (FROM lines l WHERE l.price = p.price AND l.day = p.day)",
        "FROM parts p WHERE {few} AND EXISTS (FROM lines l WHERE l.brand = p.brand AND l.part = p.id)",
    ],
)
def test_a_query_within_reads_what_has_one_of_few_keys(dealt: Shards, query: str) -> None:
    keys, reduced, *rest = steps_of(dealt, query.format(few=_ONE))
    assert (keys.kind, reduced.kind) == ("keys", "reduced")
    assert list(keys.parts.values()) == ["parts"]
    assert list(reduced.parts.values()) == ["lines"]
    assert reduced.inputs == (keys.name,)
    assert not any("lines" in step.wholes.values() for step in rest)


@pytest.mark.parametrize(
    "query",
    [
        # NOT IN minds the nulls of all rows, and whether there are any.
        "FROM parts p WHERE {few} AND p.id NOT IN (SELECT l.part FROM lines l)",
        "FROM parts p WHERE {few} AND p.other NOT IN (SELECT part FROM lines l WHERE amount = 77)",
        # Not required: the other side of OR may hold.
        "FROM parts p WHERE {few} OR EXISTS (SELECT 1 FROM lines l WHERE l.part = p.id)",
        "FROM parts p WHERE {few} AND (p.size = 3 OR p.id IN (SELECT l.part FROM lines l))",
        # Equal values of these may be written in more than one way.
        "FROM parts p WHERE {few} AND EXISTS (SELECT 1 FROM lines l WHERE l.weight = p.weight)",
        "FROM parts p WHERE {few} AND EXISTS (SELECT 1 FROM lines l WHERE l.weight = p.id)",
        # Nothing is equal, nothing filters.
        "FROM parts p WHERE {few} AND EXISTS (SELECT 1 FROM lines l WHERE l.part > p.id)",
        "SELECT count(*) FROM parts p WHERE EXISTS (SELECT 1 FROM lines l WHERE l.part = p.id)",
        # What an outer join keeps is there without a partner.
        "SELECT l.line FROM lines l LEFT JOIN parts p ON l.part = p.id AND {few}",
        "SELECT line FROM lines l LEFT JOIN parts p ON part = id AND {few} AND random() >= 0",
        "SELECT l.line FROM parts p RIGHT JOIN lines l ON l.part = p.id AND {few}",
        "SELECT l.line FROM lines l FULL JOIN parts p ON l.part = p.id AND {few}",
        "SELECT l.line FROM lines l ANTI JOIN parts p ON l.part = p.id AND {few}",
        # LIMIT sees all rows.
        "FROM parts p WHERE {few} AND p.id IN (SELECT l.part FROM lines l ORDER BY 1 LIMIT 9)",
    ],
)
@pytest.mark.parametrize("replicated", [1 << 30, 0])
def test_no_keys_where_other_rows_count(
    dealt: Shards, monkeypatch: pytest.MonkeyPatch, query: str, replicated: int
) -> None:
    monkeypatch.setattr(dealt, "limits", Limits(replicated, large=0))
    assert not any(step.kind == "keys" for step in steps_of(dealt, query.format(few=_ONE)))


def test_keys_of_a_joined_table(dealt: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the large one is not cut itself, or is brought here."""
    query = f"SELECT count(*), sum(l.amount) FROM parts p, lines l WHERE p.id = l.part AND {_ONE}"
    (step,) = steps_of(dealt, query)
    assert list(step.parts.values()) == ["lines"]
    monkeypatch.setattr(dealt, "limits", Limits(0, large=dealt.limits.large))
    keys, *gathered = steps_of(dealt, query)
    assert keys.kind == "keys"
    assert any(step.inputs == (keys.name,) for step in gathered)
    assert all(step.kind == "gather" for step in gathered)


def test_what_is_together_already_filters_as_well(
    dealt: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dealt, "limits", Limits(large=0))
    query = (
        "SELECT l.part, count(*) FROM parts p, lines l, lines m WHERE p.id = l.part AND m.line = l.line"
        " AND m.line IN (SELECT line FROM lines ORDER BY amount DESC, line LIMIT 20) GROUP BY l.part"
    )
    steps = steps_of(dealt, query)
    assert any(step.kind == "reduced" and step.inputs for step in steps)


@pytest.mark.parametrize("few", ["p.id < 350", "p.id >= 0"])
def test_many_keys_are_given_up_for_reading_all(dealt: Shards, few: str) -> None:
    query = (
        f"SELECT count(*) FROM parts p WHERE {few} AND EXISTS (FROM lines l WHERE l.part = p.id)"
    )
    before = dealt.gave_up
    steps_of(dealt, query)
    assert dealt.gave_up == before + 1
    (step,) = steps_of(dealt, query)
    assert dealt.gave_up == before + 1, "it is not tried again"
    assert list(step.wholes.values()) == ["lines"]


def test_no_keys_at_all_are_few(dealt: Shards) -> None:
    for word in ("EXISTS", "NOT EXISTS"):
        query = (
            "SELECT count(*) FROM parts p WHERE p.brand = 'none' AND"
            f" {word} (SELECT 1 FROM lines l WHERE l.part = p.id)"
        )
        keys, reduced, _last = steps_of(dealt, query)
        assert (keys.kind, reduced.kind) == ("keys", "reduced")


def test_explain_shows_keys_and_what_they_leave(dealt: Shards) -> None:
    from fscache.grid.sql.explain import explained

    query = (
        f"EXPLAIN SELECT 1 FROM parts p WHERE {_ONE} AND EXISTS (FROM lines l WHERE l.part = p.id)"
    )
    rows = explained(dealt.prepare(query)[1]).rows()
    assert [row[1:4] for row in rows[:2]] == [("keys", "parts", ""), ("reduced", "lines", "")]
    assert "DISTINCT" in rows[0][4]
    assert "EXISTS" in rows[1][4]


@pytest.mark.parametrize("number", [4, 17, 20, 21, 22])
def test_tpch_sends_keys_where_a_query_within_reads_a_large_table(
    tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    top = tmp_path_factory.mktemp("tpch keys")
    paths = tpch.generate(str(top), 0.01)
    shards = Shards(str(top), limits=Limits(large=0))
    files, _bounds = tpch.cut(paths, str(top), 4, aligned=False)
    for name, listed in files.items():
        shards.add(name, listed)
    kinds = [step.kind for step in shards.prepare(tpch.QUERIES[number - 1])[1].plan.steps]
    assert {"keys", "reduced"} <= set(kinds)
