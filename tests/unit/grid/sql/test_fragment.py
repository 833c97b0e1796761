"""One query in its sandbox: what it can read, how it ends, how much it may use."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from fscache.errors import GatherTooLargeError, SQLError
from fscache.grid.engine import parquet, parquet_each
from fscache.grid.sql.fragment import Fragment
from fscache.grid.sql.sandbox import Setting, connect

if TYPE_CHECKING:
    import pathlib

_ENDLESS = "SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE i * j % 7 = 1"


@pytest.fixture
def inside(tmp_path: pathlib.Path) -> str:
    """A Parquet file in a directory that may be read; `secret.parquet` lies beside the directory."""
    (tmp_path / "objects").mkdir()
    duckdb.sql(f"COPY (SELECT 1 AS a) TO '{tmp_path / 'secret.parquet'}' (FORMAT parquet)")
    path = str(tmp_path / "objects" / "x.parquet")
    duckdb.sql(f"COPY (SELECT range AS a FROM range(1000)) TO '{path}' (FORMAT parquet)")
    return path


def setting(path: str, **limits: int) -> Setting:
    return Setting(threads=1, directories=(path.removesuffix("x.parquet"),), **limits)


def test_it_reads_its_relations_and_parameters(inside: str) -> None:
    rows = pa.table({"c0": [1, 2]})
    with Fragment(
        {"t": parquet([inside])}, {"u": (rows, ["HUGEINT"])}, {"shared_0": 2}, setting(inside)
    ) as fragment:
        found = fragment.table("SELECT count(*) AS n FROM t, u WHERE t.a < u.c0 + $shared_0")
        assert found.to_pydict() == {"n": [7]}
        assert fragment.types("u") == ["HUGEINT"]


@pytest.mark.parametrize("count", [1, 3, 40])
def test_files_are_the_same_rows_as_relations_of_their_own(
    tmp_path: pathlib.Path, count: int
) -> None:
    """With NaN, and with what a file has none of; above some number they are one relation again."""
    paths = [str(tmp_path / f"it's {number}.parquet") for number in range(count)]
    for number, path in enumerate(paths):
        values = (
            f"if(i % 3 = {number % 3}, 'nan', i / 7)::FLOAT AS x, if({number} = 1, NULL, [i]) AS y"
        )
        name = path.replace("'", "''")
        duckdb.sql(
            f"COPY (SELECT i AS k, {values} FROM range(9) r(i)) TO '{name}' (FORMAT parquet)"
        )
    setting = Setting(threads=1, directories=(f"{tmp_path}/",))
    query = (
        "SELECT * FROM t WHERE isnan(x) AND EXISTS (FROM t AS u WHERE u.k = t.k + 1) ORDER BY ALL"
    )
    found = []
    for reads in (parquet(paths), parquet_each(paths)):
        with Fragment({"t": reads}, {}, {}, setting) as fragment:
            found.append(str(fragment.table(query).to_pydict()))
            assert fragment.types("t") == ["BIGINT", "FLOAT", "BIGINT[]"]
            assert fragment.table("SELECT count(*) AS n FROM t").to_pydict() == {"n": [9 * count]}
    assert found[0] == found[1]
    assert ("UNION ALL" in parquet_each(paths)) == (count == 3)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_parquet('{outside}')",
        "SELECT * FROM '{outside}'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{outside}.new'",
        "ATTACH '{outside}.db'",
        "SET enable_external_access = true",
        "SET threads = 4",
        "INSTALL httpfs",
        "SELECT * FROM rows",
    ],
)
def test_even_what_the_parser_would_refuse_reaches_nothing(inside: str, query: str) -> None:
    rows = pa.table({"a": [1]})  # which DuckDB would find by its name
    outside = inside.replace("objects/x", "secret")
    with connect(setting(inside)) as connection, pytest.raises(duckdb.Error):
        connection.execute(query.format(outside=outside)).fetchall()
    assert rows.num_rows == 1


def test_queries_see_nothing_of_each_other(inside: str) -> None:
    with (
        Fragment({"t": parquet([inside])}, {}, {}, setting(inside)),
        Fragment({}, {}, {}, setting(inside)) as other,
        pytest.raises(SQLError, match="t does not exist"),
    ):
        other.table("SELECT * FROM t")


def test_stop_ends_a_query_within_a_second(inside: str) -> None:
    with Fragment({}, {}, {}, setting(inside)) as fragment:
        begun = threading.Event()
        ended: list[tuple[float, BaseException]] = []

        def work() -> None:
            begun.set()
            try:
                fragment.table(_ENDLESS)
            except BaseException as exc:  # noqa: BLE001 - kept for the test
                ended.append((time.monotonic(), exc))

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        fragment.stop()
        thread.join(20)
        assert isinstance(ended[0][1], CancelledError)
        with pytest.raises(CancelledError):
            fragment.table("SELECT 1")


def test_what_does_not_fit_into_memory_goes_to_the_disk(inside: str) -> None:
    small = setting(inside, memory=64 << 20)
    with Fragment({}, {}, {}, small) as fragment:
        query = (
            "SELECT i, hash(i) AS h, hash(i + 1) AS g, hash(i + 2) AS f FROM range(4000000) r(i)"
        )
        found = fragment.table(
            f"SELECT max(f), count(*) FROM (SELECT * FROM ({query}) ORDER BY h) q"
        )
        assert found.column(1).to_pylist() == [4_000_000]


def test_what_cannot_go_to_the_disk_is_an_error_not_a_death(inside: str) -> None:
    small = setting(inside, memory=64 << 20)
    with (
        Fragment({}, {}, {}, small) as fragment,
        pytest.raises(SQLError, match=r"[Mm]emory"),
    ):
        fragment.table("SELECT list(hash(i)) FROM range(40000000) r(i)")


def test_more_rows_than_may_be_gathered_are_refused(inside: str) -> None:
    with Fragment({}, {}, {}, setting(inside), gather=1_000_000) as fragment:
        assert fragment.table("SELECT range FROM range(100000)").num_rows == 100_000
        with pytest.raises(GatherTooLargeError) as raised:
            fragment.table("SELECT range FROM range(100000000)")
        assert raised.value.limit == 1_000_000 < raised.value.asked


def test_types_survive_the_way_through_arrow(inside: str) -> None:
    query = (
        "SELECT 170141183460469231731687303715884105727::HUGEINT AS h, 1.5::DECIMAL(38, 10) AS d,"
        " uuid() AS u, '10'::BIT AS b, INTERVAL 3 MONTH AS i, TIME '10:00' AS t, [1, NULL] AS l,"
        " {'a': 1, 'b': 'x'} AS s, MAP {'k': 1} AS m, TIMESTAMP_NS '2020-01-01 00:00:00.123456789' AS n"
    )
    with Fragment({}, {}, {}, setting(inside)) as fragment:
        kinds = [str(row[1]) for row in duckdb.sql(f"DESCRIBE {query}").fetchall()]
        fragment.add("r", fragment.table(query), kinds)
        assert fragment.types("r") == kinds
        assert fragment.table("SELECT h - 1 = 170141183460469231731687303715884105726 AS x FROM r")[
            "x"
        ].to_pylist() == [True]
