"""`fscache.sql`: URLs and tables of one cache, without a cluster."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import fscache
from fscache import Cache
from fscache.errors import (
    GatherTooLargeError,
    NotFoundError,
    SQLError,
    SQLRefusedError,
    UnknownTableError,
)
from fscache.grid.sql import Result, Stream
from fscache.grid.sql.output import encode
from tests.support.catalogue import deploy, make
from tests.support.gridwork import until
from tests.support.origin import Origin, Page

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

ENDLESS = "SELECT sum(a.range % b.range) FROM range(1, 1000000000) a, range(1, 1000000000) b"


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> Iterator[Cache]:
    made = Cache(tmp_path / "root")
    yield made
    made.close()


def parquet(tmp_path: pathlib.Path, query: str) -> bytes:
    path = tmp_path / "made.parquet"
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def ticks(process: int) -> int:
    """Return what a process has used of the processors by itself."""
    with open(f"/proc/{process}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[11])


def test_a_url_is_staged_and_read(origin: Origin, cache: Cache, tmp_path: pathlib.Path) -> None:
    url = origin.add(
        "/x.parquet", Page(parquet(tmp_path, "SELECT i AS a, i * i AS b FROM range(9) r(i)"))
    )
    result = fscache.sql(f"SELECT sum(a) AS total, max(b) FROM '{url}' WHERE a > 3", cache=cache)
    assert result.columns == ["total", "max(b)"]
    assert result.types == ["HUGEINT", "BIGINT"]
    assert result.rows() == [(30, 64)]
    assert cache.lookup(url) is not None
    assert fscache.sql(f"SELECT count(*) FROM '{url}'", cache=cache).rows() == [(9,)]
    assert len(origin.seen("/x.parquet")) == 1


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("/x.csv", b"a,b\n1,x\n2,y\n"),
        ("/x.csv?version=2", b"a,b\n1,x\n2,y\n"),
        ("/x.csv.gz", gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0)),
        ("/x.json", b'[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]'),
        ("/x.ndjson", b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_csv_and_json_are_known_by_their_ending(
    origin: Origin, cache: Cache, name: str, body: bytes
) -> None:
    url = origin.add(name, Page(body))
    assert fscache.sql(f"SELECT a, b FROM '{url}' ORDER BY a", cache=cache).rows() == [
        (1, "x"),
        (2, "y"),
    ]


def test_urls_are_joined(origin: Origin, cache: Cache, tmp_path: pathlib.Path) -> None:
    left = origin.add("/l.parquet", Page(parquet(tmp_path, "SELECT i AS k FROM range(5) r(i)")))
    right = origin.add("/r.csv", Page(b"k,name\n1,one\n3,three\n"))
    query = f"SELECT name FROM '{left}' AS l JOIN '{right}' AS r USING (k) ORDER BY k"
    assert fscache.sql(query, cache=cache).rows() == [("one",), ("three",)]


def test_what_the_origin_lacks_is_an_error_of_staging(origin: Origin, cache: Cache) -> None:
    with pytest.raises(NotFoundError):
        fscache.sql(f"SELECT * FROM '{origin.url('/none.parquet')}'", cache=cache)


@pytest.mark.parametrize("name", ["/x.txt", "/x.csv.gz", "/x.json"])
def test_a_url_that_is_not_what_its_ending_says_is_named(
    origin: Origin, cache: Cache, name: str
) -> None:
    url = origin.add(name, Page(b"{neither Parquet, JSON, nor packed"))
    with pytest.raises(SQLError) as raised:
        fscache.sql(f"SELECT * FROM '{url}'", cache=cache)
    assert url in str(raised.value)
    assert str(cache.root.path) not in str(raised.value)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("name", "row", "last"),
    [("/x.csv", "{0},{0}", "x,3"), ("/x.json", '{{"a": {0}}}', '{"a": }')],
)
def test_a_url_whose_last_rows_are_wrong_is_named(
    origin: Origin, cache: Cache, name: str, row: str, last: str, *, streaming: bool
) -> None:
    """With what is wrong of them, and nothing of what only DuckDB's own users could do about it."""
    rows = [row.format(number) for number in range(60_000)]
    url = origin.add(name, Page("\n".join([*rows, last, ""]).encode()))
    with pytest.raises(SQLError, match=r"[Ll]ine:? 6000\d") as raised:
        for _ in fscache.sql(f"SELECT * FROM '{url}'", cache=cache, streaming=streaming):
            pass
    said = str(raised.value)
    assert said.startswith(url)
    assert str(cache.root.path) not in said
    assert "\n" not in said
    assert "sample_size" not in said


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM sqlite_master",
        "SELECT table_name FROM DuckDB_Tables LIMIT 1",
        "SELECT * FROM pg_type",
        "SELECT * FROM pragma_database_list",
        "WITH pg_type AS (FROM pg_type) FROM pg_type",
    ],
)
def test_views_of_the_database_itself_are_no_tables(cache: Cache, query: str) -> None:
    with pytest.raises(UnknownTableError):
        fscache.sql(query, cache=cache)


def test_a_plan_is_streamed_as_all_rows_are(cache: Cache) -> None:
    plan = fscache.sql("EXPLAIN SELECT 1", cache=cache).arrow()
    with fscache.sql("EXPLAIN SELECT 1", streaming=True, cache=cache) as stream:
        assert pa.Table.from_batches(stream) == plan


def test_times_of_numpy_are_times_whatever_their_unit(cache: Cache) -> None:
    times = np.array(["2020-01-02T03:04:05.000006", "NaT"], "M8[ns]")  # what pandas makes of times
    values = {"a": times, "b": times[0], "c": np.timedelta64(7000, "ns")}
    (row,) = fscache.sql("SELECT shared.a, shared.b, shared.c", values, cache=cache).rows()
    moment = datetime(2020, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - it has none
    assert row == ([moment, None], moment, timedelta(microseconds=7))
    with pytest.raises(SQLError, match="microsecond"):
        fscache.sql("SELECT shared.a", {"a": times + np.timedelta64(1, "ns")}, cache=cache)


def test_shared_values(cache: Cache) -> None:
    query = "SELECT shared.a + 1, list_sum(shared.b), shared.c"
    result = fscache.sql(query, {"a": 41, "b": [1.5, 2.5], "c": "it's"}, cache=cache)
    assert result.rows() == [(42, 4.0, "it's")]
    assert result.columns == ["(shared.a + 1)", "list_sum(shared.b)", "shared.c"]
    odd = 'SELECT shared.a, "$shared_1" FROM (SELECT 2 AS "$shared_1")'
    assert fscache.sql(odd, {"a": 1}, cache=cache).columns == ["shared.a", "$shared_1"]


def test_a_file_is_no_table(cache: Cache) -> None:
    with pytest.raises(UnknownTableError, match="file://"):
        fscache.sql("SELECT * FROM 'some.csv'", cache=cache)


def test_nothing_but_the_tables_can_be_read(cache: Cache, tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    frame = {"a": [1]}  # DuckDB would find it by its name
    for query in (
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM '{secret}'",
        "SELECT * FROM frame",
        f"SELECT * FROM (SELECT content FROM read_text('{secret}'))",
    ):
        with pytest.raises((SQLError, UnknownTableError)):
            fscache.sql(query, cache=cache)
    assert frame
    with pytest.raises(SQLRefusedError):
        fscache.sql(f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'", cache=cache)
    assert not (tmp_path / "out.csv").exists()


def test_results_have_many_forms(cache: Cache) -> None:
    result = fscache.sql(
        "SELECT 1 AS a, 1.5::DECIMAL(4, 2) AS d, sum(i) AS s, DATE '2020-02-03' AS t, NULL AS n,"
        " 1 AS a FROM range(10) r(i)",
        cache=cache,
    )
    assert isinstance(result, Result)
    assert result.columns == ["a", "d", "s", "t", "n", "a"]
    assert result.types == ["INTEGER", "DECIMAL(4,2)", "HUGEINT", "DATE", '"NULL"', "INTEGER"]
    ((a, _d, total, when, nothing, _a),) = result.rows()
    assert (a, total, when.isoformat(), nothing) == (1, 45, "2020-02-03", None)
    assert result.arrow().column_names == result.columns
    assert list(result.df().columns) == result.columns
    assert len(result) == 1
    assert "2020-02-03" in repr(result)
    assert "(1 row)" in repr(result)
    assert "<td>2020-02-03</td>" in result._repr_html_()


def test_times_with_a_zone_are_values_without_pytz(cache: Cache) -> None:
    """Which DuckDB makes them with; text where Python has none such."""
    query = (
        "SELECT 1 AS a, t, [t] AS many, uuid() AS u FROM (VALUES (TIMESTAMPTZ '2020-01-01 02:00:00+02'),"
        " (NULL), (TIMESTAMPTZ 'infinity')) v(t) ORDER BY t NULLS LAST"
    )
    result = fscache.sql(query, cache=cache)
    (_, when, many, name), (_, last, *_), (*_, never, _, _) = result.rows()
    assert [when] == many == [datetime(2020, 1, 1, tzinfo=UTC)]
    assert isinstance(name, uuid.UUID)
    assert (last, never) == ("infinity", None)
    assert "2020-01-01 00:00:00" in repr(result)
    assert fscache.sql("SELECT now() AS t WHERE false", cache=cache).rows() == []


def test_what_python_has_no_value_for_is_text_in_json_and_csv(cache: Cache) -> None:
    query = (
        "SELECT DATE 'infinity' AS d, TIMESTAMP '0044-03-15 (BC) 10:00:00' AS t,"
        " union_value(k := 7) AS u, INTERVAL '1 year 2 days 3.5 seconds' AS i, INTERVAL 0 DAY AS z,"
        " [INTERVAL '-1 us'] AS l"
    )
    result = fscache.sql(query, cache=cache)
    (line,) = b"".join(encode(result.batches(), "json")).splitlines()
    interval = "12 months 2 days 3.5 seconds"
    assert json.loads(line) == {
        "d": "infinity",
        "t": "0044-03-15 (BC) 10:00:00",
        "u": 7,
        "i": interval,
        "z": "0 seconds",
        "l": ["-0.000001 seconds"],
    }
    assert (
        fscache.sql(f"SELECT INTERVAL '{interval}'", cache=cache).rows()[0][0]
        == (fscache.sql("SELECT INTERVAL '1 year 2 days 3.5 seconds'", cache=cache).rows()[0][0])
    )
    text = b"".join(encode(result.batches(), "csv")).decode()
    assert text.splitlines()[1].startswith(f"infinity,0044-03-15 (BC) 10:00:00,7,{interval},")
    both = fscache.sql("SELECT * FROM (VALUES (DATE '2020-01-01'), ('infinity'))", cache=cache)
    assert b"".join(encode(both.batches(), "csv")).splitlines()[1:] == [b"2020-01-01", b"infinity"]


def test_values_of_a_column_are_of_one_kind_in_json(cache: Cache) -> None:
    query = (
        "SELECT d::DECIMAL(9, 2) AS d, sum(d::INTEGER) AS s, [d::DECIMAL(4, 1)] AS l,"
        " -d::DECIMAL(9, 0) AS n FROM (VALUES (1.5), (2), (100)) v(d) GROUP BY d ORDER BY d"
    )
    lines = b"".join(encode(fscache.sql(query, cache=cache).batches(), "json")).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"d": "1.50", "s": 2, "l": ["1.5"], "n": -2},
        {"d": "2.00", "s": 2, "l": ["2.0"], "n": -2},
        {"d": "100.00", "s": 100, "l": ["100.0"], "n": -100},
    ]


def test_a_long_result_is_shown_in_part(cache: Cache) -> None:
    text = repr(fscache.sql("SELECT range AS i FROM range(1000)", cache=cache))
    assert "1000 rows, the first 20 of which are shown" in text
    assert len(text.splitlines()) == 23


def test_streams_give_batches_and_end(cache: Cache) -> None:
    stream = fscache.sql("SELECT range AS i FROM range(300000)", cache=cache, streaming=True)
    assert isinstance(stream, Stream)
    assert sum(batch.num_rows for batch in stream) == 300_000
    with fscache.sql("SELECT 1", cache=cache, streaming=True):
        pass


def test_tables_are_found_in_upper_and_lower_case(cache: Cache, tmp_path: pathlib.Path) -> None:
    deploy(cache, make(50).table(), "Sky", tmp_path / "a", shards=2)
    for query in (
        "SELECT count(*), max(sky.id) FROM SKY",
        "SELECT count(*), max(id) FROM (SELECT a.id FROM sky a JOIN SKY b USING (id))",
        "WITH sky AS (FROM Sky) SELECT count(*), max(id) FROM sky",
        "WITH w AS (FROM sky) SELECT count(*), max(id) FROM W JOIN Sky USING (id)",
        "SELECT count(*), max(best.i.psf_mag) FROM sky",
    ):
        assert fscache.sql(query, cache=cache).rows()[0][0] == 50, query
    deploy(cache, make(60).table(), "sky", tmp_path / "b", shards=2)
    assert fscache.sql("SELECT count(*) FROM Sky", cache=cache).rows() == [(50,)]
    assert fscache.sql("SELECT count(*) FROM sky", cache=cache).rows() == [(60,)]
    with pytest.raises(UnknownTableError):
        fscache.sql("SELECT count(*) FROM SKY", cache=cache)


def test_close_waits_for_the_end_of_the_query(cache: Cache) -> None:
    with fscache.sql(ENDLESS, cache=cache, streaming=True):
        assert "fscache sql" in {thread.name for thread in threading.enumerate()}
    assert "fscache sql" not in {thread.name for thread in threading.enumerate()}


def test_ctrl_c_ends_a_query_that_is_in_the_middle(tmp_path: pathlib.Path) -> None:
    """DuckDB computes by then: the program has used a second of a processor since it began to ask."""
    code = (
        "import fscache, sys\n"
        "cache = fscache.Cache(sys.argv[1])\n"
        "fscache.sql('SELECT 1', cache=cache)\n"
        "print('ready', flush=True)\n"
        "try: fscache.sql(sys.argv[2], cache=cache)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "root"), ENDLESS]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            begun = ticks(process.pid)
            until(lambda: ticks(process.pid) > begun + os.sysconf("SC_CLK_TCK"), "it to compute")
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("interrupted\n", None)
        finally:
            process.kill()
    assert process.returncode == 0


def test_a_program_may_end_while_a_query_runs(tmp_path: pathlib.Path) -> None:
    program = (
        "import fscache, sys\n"
        "cache = fscache.Cache(sys.argv[1])\n"
        f"stream = fscache.sql({ENDLESS!r}, cache=cache, streaming=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "root")],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_too_much_is_refused(cache: Cache) -> None:
    with pytest.raises(GatherTooLargeError) as raised:
        fscache.sql("SELECT range AS i FROM range(1000000)", cache=cache, max_gather=100_000)
    assert raised.value.limit == 100_000
    with pytest.raises(GatherTooLargeError):
        fscache.sql("SELECT 1", cache=cache, max_gather=0)


@pytest.mark.parametrize("query", ["SELECT $1", "SELECT ? + 1", "SELECT $name"])
def test_values_have_one_way_in(cache: Cache, query: str) -> None:
    with pytest.raises(SQLError, match=r"shared\.NAME"):
        fscache.sql(query, cache=cache)


def test_explain_runs_nothing(cache: Cache) -> None:
    (row,) = fscache.sql("EXPLAIN SELECT 1 / 0", cache=cache).rows()
    assert row[:2] == ("answer", "here")
    (row,) = fscache.sql("EXPLAIN SELECT shared.x / 0", {"x": 1}, cache=cache).rows()
    assert row[:2] == ("answer", "here")
