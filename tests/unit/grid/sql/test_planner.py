"""Which way a query is answered, and what the workers are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fscache.errors import UnknownTableError
from fscache.grid.sql.facts import Limits
from tests.support.sqlwork import Shards, same_rows

if TYPE_CHECKING:
    from fscache.grid.sql.facts import Plan


def planned(tables: Shards, query: str) -> Plan:
    return tables.prepare(query)[1].plan


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("count", "SELECT count(*) FROM orders"),
        ("count", "SELECT 2 * count(*) + 1 AS n FROM orders"),
        ("single", "SELECT max(name) FROM kinds"),
        ("single", "SELECT a, row_number() OVER (ORDER BY a) FROM kinds"),
        ("scan", "SELECT * FROM orders WHERE a > 3"),
        ("scan", "SELECT k FROM orders LIMIT 5"),
        ("top-n", "SELECT k, s FROM orders ORDER BY x DESC LIMIT 5"),
        ("two-phase", "SELECT s, count(*), avg(x) FROM orders GROUP BY s"),
        ("two-phase", "SELECT name, sum(x) FROM orders JOIN kinds USING (a) GROUP BY name"),
        ("two-phase", "SELECT sum(l.x) FROM orders o JOIN lines l ON o.k = l.k WHERE o.a > 2"),
        ("two-phase", "SELECT count(*) FROM orders o WHERE EXISTS (FROM lines l WHERE l.k = o.k)"),
        ("partition", "SELECT k, median(x), list(id ORDER BY id) FROM lines GROUP BY k"),
        ("partition", "SELECT o.k, count(*) FROM orders o JOIN lines l ON l.k = o.k GROUP BY o.k"),
        ("partition", "SELECT k, sum(x) OVER (PARTITION BY k ORDER BY id) FROM lines"),
        ("partition", "SELECT DISTINCT k, a FROM lines"),
        ("rows", "SELECT s, median(x) FROM orders GROUP BY s"),
        ("two-phase", "SELECT s, count(DISTINCT a), sum(d), count(*) FROM orders GROUP BY s"),
        (
            "two-phase",
            "SELECT count(DISTINCT x), sum(DISTINCT a), max(k) FROM orders WHERE k > 999",
        ),
        ("rows", "SELECT count(DISTINCT 2), count(*) FROM orders"),
        ("rows", "SELECT count(DISTINCT a) FILTER (WHERE k > 7), count(*) FROM orders"),
        ("rows", "SELECT list(DISTINCT a ORDER BY a), count(*) FROM orders"),
        ("rows", "SELECT sum(x) OVER (ORDER BY k) FROM orders"),
        ("gather", "SELECT * FROM orders FULL JOIN other ON orders.a = other.a"),
        ("gather", "SELECT a AS x, x FROM orders"),
        ("here", "SELECT 1 AS one"),
    ],
)
def test_a_query_is_of_a_class(tables: Shards, kind: str, query: str) -> None:
    assert planned(tables, query).kind == kind
    ordered = "ORDER BY x" in query
    if "LIMIT 5" not in query or ordered:
        assert same_rows(tables.sql(query).rows(), tables.alone(query)[2], ordered=ordered)


def test_filters_columns_and_limits_go_to_the_workers(tables: Shards) -> None:
    (step,) = planned(tables, "SELECT k FROM orders WHERE a > 3 AND s = 'n1' LIMIT 7").steps
    assert step.sql == ('SELECT s0."k" AS c0 FROM s0 WHERE s0."a" > 3 AND s0."s" = \'n1\' LIMIT 7')
    assert step.enough == 7
    left, right = planned(
        tables,
        "SELECT orders.k, y FROM orders FULL JOIN other ON orders.a = other.a",
    ).steps
    assert '"x"' not in left.sql
    assert right.sql == 'SELECT s1."a" AS "a", s1."y" AS "y" FROM s1'
    left, right = planned(
        tables, "SELECT o.x, p.x FROM orders o ASOF JOIN lines p ON o.k >= p.k"
    ).steps
    assert "*" not in left.sql + right.sql or left.kind == "gather"


def test_a_gathered_outer_join_filters_only_the_side_that_may_be_missing(tables: Shards) -> None:
    few = Limits(replicated=0)
    tables.limits = few
    try:
        query = (
            "SELECT o.k, p.y FROM orders o LEFT JOIN other p ON o.a = p.a AND p.y > 9 AND o.a > 1"
        )
        left, right = planned(tables, query).steps
        assert "WHERE" not in left.sql
        assert 'WHERE s1."y" > 9' in right.sql
        assert same_rows(tables.sql(query).rows(), tables.alone(query)[2], ordered=False)
    finally:
        tables.limits = None


def test_tables_dealt_alike_are_cut_together_others_are_read_whole(tables: Shards) -> None:
    (step,) = planned(tables, "SELECT sum(l.x) FROM orders o, lines l WHERE o.k = l.k").steps
    assert sorted(step.parts.values()) == ["lines", "orders"]
    assert not step.wholes
    for condition in ("o.a = l.a", "o.k + 0 = l.k", "o.k > l.k", "o.k = l.k OR o.a = 1"):
        (step,) = planned(tables, f"SELECT sum(l.x) FROM orders o, lines l WHERE {condition}").steps
        assert len(step.parts) == len(step.wholes) == 1


@pytest.mark.parametrize(
    ("each", "rest"),
    [
        (True, "orders o WHERE EXISTS (FROM lines l WHERE l.k = o.k AND l.a > 2)"),
        (True, "orders o WHERE NOT EXISTS (FROM lines l WHERE l.k = o.k AND l.a > 2)"),
        (True, "orders WHERE k IN (SELECT k FROM lines WHERE a > 2)"),
        (True, "orders o SEMI JOIN lines l ON l.k = o.k AND l.a > 2"),
        (True, "orders o ANTI JOIN lines l ON l.k = o.k AND l.a > 2"),
        (False, "orders o JOIN lines l USING (k) WHERE o.a IN (1, 2)"),
        (False, "orders o WHERE EXISTS (FROM lines l WHERE l.a = o.a)"),
        (False, "orders WHERE a IN (SELECT a FROM kinds)"),
    ],
)
def test_shards_are_read_each_where_tables_cut_alike_are_asked_for_rows(
    tables: Shards, each: bool, rest: str
) -> None:
    query = f"SELECT count(*), sum(k) FROM {rest}"
    assert [step.each for step in planned(tables, query).steps] == [each]
    assert same_rows(tables.sql(query).rows(), tables.alone(query)[2], ordered=False)


def test_what_an_outer_join_keeps_must_be_cut(tables: Shards) -> None:
    (step,) = planned(
        tables, "SELECT count(*) FROM kinds LEFT JOIN lines ON kinds.a = lines.a"
    ).steps
    assert list(step.parts.values()) == ["kinds"]
    (step,) = planned(
        tables, "SELECT count(*) FROM lines LEFT JOIN orders ON lines.k = orders.k"
    ).steps
    assert sorted(step.parts.values()) == ["lines", "orders"]


def test_a_query_within_that_sees_other_shards_reads_them_whole(tables: Shards) -> None:
    for query in (
        "SELECT count(*) FROM orders o WHERE EXISTS (FROM lines l WHERE l.a = o.a)",
        "SELECT count(*) FROM orders WHERE k NOT IN (SELECT k FROM lines WHERE a = 1)",
        "SELECT count(*) FROM orders WHERE k < (SELECT avg(k) FROM lines)",
    ):
        for step in planned(tables, query).steps:
            assert len(step.parts) <= 1


def test_for_distinct_the_workers_group_by_its_argument(tables: Shards) -> None:
    """So they send a row for each value, with the partial results of all other aggregates."""
    query = "SELECT s, count(DISTINCT a), avg(k), sum(DISTINCT a) FROM orders GROUP BY s"
    (step,) = planned(tables, query).steps
    assert step.sql == (
        'SELECT s0."s" AS c0, s0."a" AS c1, SUM(s0."k") AS c2, COUNT(s0."k") AS c3 FROM s0'
        ' GROUP BY s0."s", s0."a"'
    )
    arrays = "SELECT histogram(x, range => (0, 9)), count(DISTINCT a) FROM orders"
    assert planned(tables, arrays).kind == "rows"  # else an array for each value


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (
            "scan",
            "SELECT s, k FROM orders ORDER BY replace(s, 'n', mid) COLLATE NOCASE, k LIMIT 30",
        ),
        ("gather", "SELECT s, k FROM folded ORDER BY low, k LIMIT 30"),
        ("gather", "SELECT low, count(*) FROM folded GROUP BY low ORDER BY low"),
        ("gather", "SELECT count(*) FROM (SELECT low FROM folded UNION SELECT s FROM orders)"),
        ("two-phase", "SELECT count(*) FROM orders WHERE s COLLATE NOCASE = 'N1'"),
    ],
)
def test_a_collation_is_not_lost_on_the_way(tables: Shards, kind: str, query: str) -> None:
    mid = "if(k < 40, 'n', 'N')"
    query = query.replace("mid", mid)
    if "folded" in query:
        low = f"SELECT s, k, replace(s, 'n', {mid}) COLLATE NOCASE AS low FROM orders"
        query = f"WITH folded AS ({low}) {query}"
    assert planned(tables, query).kind == kind
    ordered = "ORDER BY" in query
    assert same_rows(tables.sql(query).rows(), tables.alone(query)[2], ordered=ordered)


def test_values_that_vary_are_never_computed_apart(tables: Shards) -> None:
    for query in (
        "SELECT count(*) FROM orders WHERE x < random()",
        "SELECT k, current_date FROM orders",
        "SELECT count(*) FROM orders GROUP BY k, now()",
        "SELECT k, uuid() FROM orders",
    ):
        for step in planned(tables, query).steps:
            text = step.sql.lower()
            assert not any(word in text for word in ("random", "current_date", "now", "uuid"))


def test_limit_within_is_computed_once(tables: Shards) -> None:
    query = "SELECT count(*) FROM orders JOIN (SELECT a FROM kinds LIMIT 2) z ON orders.a = z.a"
    kinds = [step.kind for step in planned(tables, query).steps]
    assert "here" in kinds


@pytest.mark.parametrize(
    "query",
    [
        "SELECT k FROM orders ORDER BY k LIMIT 10%",
        "SELECT k FROM orders ORDER BY k LIMIT (SELECT count(*) FROM kinds)",
        "SELECT DISTINCT a FROM orders ORDER BY a LIMIT 3",
        "SELECT DISTINCT ON (a) a, k FROM orders ORDER BY a, k",
        "SELECT a, sum(x) FROM orders GROUP BY ROLLUP (a) ORDER BY a",
        "SELECT a, s, count(*) FROM orders GROUP BY GROUPING SETS ((a), (s)) ORDER BY ALL",
        "SELECT count(*) FROM orders GROUP BY ()",
        "SELECT 1 AS one, count(*) FROM orders GROUP BY 1",
        "VALUES (1, 'a'), (2, 'b')",
        "(SELECT max(k) FROM orders) UNION ALL (SELECT min(k) FROM lines)",
        "FROM range(3)",
        "FROM orders ORDER BY k",
        "SELECT (SELECT count(*) FROM orders) + (SELECT max(a) FROM lines)",
        "SELECT o FROM orders o WHERE k < 3 ORDER BY k",
        "SELECT * FROM orders NATURAL JOIN kinds ORDER BY k",
        "SELECT COLUMNS('k|a') FROM orders ORDER BY 1, 2",
        "SELECT * EXCLUDE (x) REPLACE (a + 1 AS a) FROM orders ORDER BY k",
        "SELECT k, sum(x) OVER w FROM orders WINDOW w AS (ORDER BY k) ORDER BY k",
        "SELECT o.k, z.u FROM orders o, LATERAL (SELECT o.a + 1 AS u) z ORDER BY 1",
        "SELECT k, unnest([a, a + 1]) AS u FROM orders WHERE k < 5 ORDER BY ALL",
        "SELECT list_sum(list_transform([a, k], lambda v: v + 1)) FROM orders ORDER BY k",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT n FROM r",
        "SELECT s, count(*) AS n FROM orders GROUP BY s HAVING n > 20 AND s <> 'n1' ORDER BY n, s",
        "SELECT k + 1 AS m, m * 2 AS d FROM orders WHERE m > 90 ORDER BY d",
        "SELECT s, a, count(*) FROM orders GROUP BY ALL ORDER BY ALL",
        "SELECT quantile_cont(x, [0.1, 0.9]) FROM lines",
        "SELECT sum(a) FILTER (WHERE s = 'n1'), avg(x) FILTER (s = 'n2') FROM orders",
        "SELECT max(k), min(s), sum(d), avg(d), count(d) FROM orders WHERE false",
        "SELECT s, max(k) FROM orders WHERE false GROUP BY s",
    ],
)
def test_all_that_duckdb_reads_is_answered(tables: Shards, query: str) -> None:
    names, types, rows = tables.alone(query)
    found = tables.sql(query)
    assert (found.columns, found.types) == (names, types)
    assert same_rows(found.rows(), rows, ordered="ORDER BY" in query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT k, s.upper() FROM orders",
        "SELECT orders.s.upper().lower(), x.sum() FROM orders GROUP BY ALL",
        "FROM (FROM orders SELECT s, k, x) PIVOT (sum(x) FOR s IN ('n1', 'n2'))",
    ],
)
def test_what_stands_after_its_argument_is_answered(tables: Shards, query: str) -> None:
    names, types, rows = tables.alone(query)
    found = tables.sql(query)
    assert (found.columns, found.types) == (names, types)
    assert same_rows(found.rows(), rows, ordered=False)


def test_an_unknown_table_is_named(tables: Shards) -> None:
    with pytest.raises(UnknownTableError) as raised:
        tables.prepare("SELECT * FROM orders, nosuch")
    assert raised.value.table == "nosuch"


def test_a_condition_guards_what_may_fail(tables: Shards) -> None:
    query = "SELECT CASE WHEN count(*) > 1000 THEN sum(CAST(s AS INTEGER)) ELSE 0 END FROM orders"
    (step,) = planned(tables, query).steps
    assert step.kind in {"two-phase", "rows"}


def test_explain_shows_the_class_and_what_each_worker_computes(tables: Shards) -> None:
    from fscache.grid.sql.explain import explained

    query, bound = tables.prepare("EXPLAIN SELECT s, sum(x) FROM orders GROUP BY s")
    assert query.explain
    result = explained(bound)
    assert result.columns == ["relation", "class", "cut", "whole", "sql"]
    first, last = result.rows()
    assert first[:4] == ("g0", "two-phase", "orders", "")
    assert "GROUP BY" in first[4]
    assert last[:2] == ("answer", "two-phase")


def test_a_plan_is_used_again_until_its_tables_change(tables: Shards) -> None:
    made = Shards(tables.setting.directories[0])
    query = "SELECT count(*), max(k) FROM changing, kinds"
    made.add("changing", tables.paths["orders"])
    made.add("kinds", tables.paths["kinds"])
    first = made.prepare(query)[1]
    assert made.prepare(query)[1] is first
    made.add("changing", tables.paths["orders"][:2])
    second = made.prepare(query)[1]
    assert second is not first
    assert made.prepare("SELECT count(*) FROM changing")[1].plan.final.count("50") == 1
    made.add("changing", tables.paths["orders"])
    assert made.prepare("SELECT count(*) FROM changing")[1].plan.final.count("100") == 1
