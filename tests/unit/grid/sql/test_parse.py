"""What is let through, what is refused, and what is believed of sqlglot's reading."""

from __future__ import annotations

import numpy as np
import pytest

from fscache.errors import SQLError, SQLRefusedError
from fscache.grid.sql.parse import Query, parse
from fscache.grid.sql.prepare import vocabulary


def read(text: str, **shared: object) -> Query:
    return parse(text, shared, vocabulary(), lambda _names: {})


@pytest.mark.parametrize(
    "query",
    [
        "COPY t TO '/tmp/x'",
        "COPY (SELECT 1) TO '/tmp/x.parquet'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET threads = 1",
        "CALL duckdb_tables()",
        "CREATE TABLE x AS SELECT 1",
        "DROP TABLE t",
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
        "SELECT 1; DROP TABLE t",
        "SELECT 1; SELECT 2",
        "EXPORT DATABASE '/tmp/x'",
        "SHOW TABLES",
        "DESCRIBE t",
        "SUMMARIZE t",
        "SELECT * FROM (DESCRIBE t)",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/tmp/x')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('t')",
        "SELECT * FROM pg_catalog.pg_tables",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM main.t",
        "SELECT main.abs(1)",
        "SELECT a.current_setting() FROM t",
        "PIVOT t ON a USING sum(b)",
        "SELECT (SELECT content FROM read_text('/etc/passwd'))",
        "SELECT * FROM t WHERE a IN (SELECT content FROM read_text('/etc/passwd'))",
        "SELECT current_setting('temp_directory')",
        "SELECT getvariable('x')",
        "SELECT nextval('s')",
        "SELECT write_log('x')",
        "SELECT sleep_ms(1000)",
        "PREPARE x AS SELECT 1",
        "BEGIN",
        "CHECKPOINT",
        "VACUUM",
    ],
)
def test_what_does_not_only_read_is_refused(query: str) -> None:
    with pytest.raises(SQLRefusedError):
        read(query)


@pytest.mark.parametrize(
    ("query", "position"), [("SELEC 1", 0), ("SELECT a FRM t WHERE", None), ("", None), (";", None)]
)
def test_what_cannot_be_read_says_where(query: str, position: int | None) -> None:
    with pytest.raises(SQLError) as raised:
        read(query)
    assert raised.value.query == query
    if position is not None:
        assert raised.value.position == position


@pytest.mark.parametrize("deep", [500, 5000])
def test_what_is_nested_too_deeply_is_an_error_of_the_query(deep: int) -> None:
    with pytest.raises(SQLError, match=r"deep|depth"):
        read(f"SELECT {' + '.join(['a'] * deep)} FROM t")


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("SHOW TABLES", "fscache tables ls"),
        ("DESCRIBE t", "fscache tables show"),
        ("SELECT * FROM (PIVOT t ON a USING sum(b))", "with the values in IN"),
    ],
)
def test_what_is_refused_says_what_to_do(query: str, hint: str) -> None:
    with pytest.raises(SQLRefusedError, match=hint):
        read(query)


def test_long_lists_are_not_deep() -> None:
    many = " OR ".join(f"a = {number}" for number in range(3000))
    assert read(f"SELECT a FROM t WHERE {many}").tree is not None


def test_functions_that_are_not_there_are_named() -> None:
    with pytest.raises(SQLError, match="No such function: nosuch") as raised:
        read("SELECT nosuch(a) FROM t")
    assert raised.value.position == 7


def test_shared_values_become_parameters_and_never_text() -> None:
    query = read(
        "SELECT shared.a, \"shared\".B, 'shared.a', x.shared.a FROM t -- shared.a\n",
        a="'; DROP TABLE t; --",
        b=np.array([1.5, 2.5]),
    )
    assert query.text.count("$shared_0") == 1
    assert query.text.count("$shared_1") == 1
    assert "DROP" not in query.text
    assert query.parameters == {"shared_0": "'; DROP TABLE t; --", "shared_1": [1.5, 2.5]}


def test_shared_values_that_are_missing_say_where() -> None:
    with pytest.raises(SQLError, match="no shared value 'c'") as raised:
        read("SELECT a + shared.c FROM t", a=1)
    assert raised.value.position == 11


def test_numpy_values_are_bound_as_numbers_and_lists() -> None:
    query = read(
        "SELECT shared.a, shared.b, shared.c", a=np.int64(3), b=np.float32(0.5), c=((1, 2), (3, 4))
    )
    assert list(query.parameters.values()) == [3, 0.5, [[1, 2], [3, 4]]]


def test_tables_are_listed_and_explain_is_seen() -> None:
    query = read(
        "EXPLAIN SELECT * FROM t, 'https://host/x.parquet' AS u WHERE a IN (SELECT 1 FROM v);"
    )
    assert query.explain
    assert set(query.tables) == {"t", "v", "https://host/x.parquet"}


def test_what_is_explained_may_have_shared_values() -> None:
    query = read("/* why */ explain -- this\n SELECT a + shared.x, ';', 'shared.x' FROM t;", x=1)
    assert query.explain
    assert query.text == "SELECT a + $shared_0, ';', 'shared.x' FROM t"
    assert query.parameters == {"shared_0": 1}
    with pytest.raises(SQLError, match="no shared value 'c'") as raised:
        read("EXPLAIN SELECT shared.c", x=1)
    assert raised.value.position == 15


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN SELECT 1; DROP TABLE t",
        "EXPLAIN DROP TABLE t",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN",
    ],
)
def test_what_is_explained_only_reads_too(query: str) -> None:
    with pytest.raises(SQLError):
        read(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT log10(a), log2(a), a ** 2, a ^ 2, pow(a, 2), a // 2, a % 3, -a, a::INT FROM t",
        "SELECT date_trunc('day', ts), ts + INTERVAL 3 DAY, ts - INTERVAL '2' MONTH FROM t",
        "SELECT if(a, b, c), ifnull(a, b), nullif(a, b), CASE a WHEN 1 THEN 2 END FROM t",
        "SELECT a IS NOT NULL, a NOT IN (1, 2), a NOT LIKE 'x', a IS DISTINCT FROM b FROM t",
        "SELECT string_agg(a, ','), max_by(a, b), list(a), count(DISTINCT a), sum(a) FILTER (b) FROM t",
        "SELECT a FROM t ORDER BY a DESC NULLS LAST, b NULLS FIRST LIMIT 3 OFFSET 1",
        "SELECT sum(a) OVER (PARTITION BY b ORDER BY c ROWS 2 PRECEDING) FROM t QUALIFY true",
        "SELECT * EXCLUDE (a) FROM t",
        "FROM t",
        "SELECT a FROM t GROUP BY ALL ORDER BY ALL",
        "SELECT s.a.b, x[1], x[1:2], {'a': 1}, [1, 2] FROM t",
        "SELECT substring(a FROM 1 FOR 2), extract(year FROM b), .5, 1e5 FROM t",
    ],
)
def test_sqlglot_reads_as_duckdb_does(query: str) -> None:
    assert read(query).tree is not None


@pytest.mark.parametrize(
    "query",
    [
        "SELECT list_filter(l, x -> x > 1) FROM t",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
    ],
)
def test_a_reading_that_differs_is_not_believed(query: str) -> None:
    assert read(query).tree is None
