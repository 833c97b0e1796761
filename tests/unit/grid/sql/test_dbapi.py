"""DB-API 2.0, as PEP 249 has it, over queries in this process."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Any

import pytest

import fscache
from fscache.cache import Cache
from fscache.errors import FscacheError, SQLError, StageError
from fscache.grid.sql import dbapi
from tests.support.catalogue import deploy, make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY = make(1000)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    path: Path = tmp_path_factory.mktemp("db")
    with Cache(path / "root") as cache:
        deploy(cache, SKY.table(), "sky", path / "files", shards=2)
        yield cache


@pytest.fixture
def cursor(cache: Cache) -> Iterator[dbapi.Cursor]:
    with fscache.connect_sql(cache=cache) as connection, connection.cursor() as cursor:
        yield cursor


def test_what_the_module_says_of_itself() -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 2, "qmark")
    assert fscache.connect_sql is dbapi.connect


def test_errors_are_drawn_as_in_pep_249() -> None:
    assert not issubclass(dbapi.Warning, dbapi.Error)
    for kind in (dbapi.InterfaceError, dbapi.DatabaseError):
        assert kind.__bases__ == (dbapi.Error,)
    for kind in (
        dbapi.DataError,
        dbapi.OperationalError,
        dbapi.IntegrityError,
        dbapi.InternalError,
        dbapi.ProgrammingError,
        dbapi.NotSupportedError,
    ):
        assert kind.__bases__ == (dbapi.DatabaseError,)
        assert getattr(dbapi.Connection, kind.__name__) is kind
    assert issubclass(dbapi.Error, FscacheError)


def test_rows_are_fetched_one_some_and_all(cursor: dbapi.Cursor) -> None:
    assert cursor.rowcount == -1
    assert cursor.description is None
    assert cursor.execute("SELECT id FROM sky ORDER BY id") is cursor
    ids = sorted(SKY.id.tolist())
    assert cursor.rowcount == 1000
    assert cursor.fetchone() == (ids[0],)
    assert cursor.fetchmany() == [(ids[1],)]
    cursor.arraysize = 3
    assert cursor.fetchmany() == [(each,) for each in ids[2:5]]
    assert cursor.fetchmany(2) == [(each,) for each in ids[5:7]]
    assert next(iter(cursor)) == (ids[7],)
    assert cursor.fetchall() == [(each,) for each in ids[8:]]
    assert (cursor.fetchone(), cursor.fetchmany(5), cursor.fetchall()) == (None, [], [])


def test_parameters_are_bound_in_order(cursor: dbapi.Cursor) -> None:
    query = "SELECT ?, ? + 1, '?' AS mark, ? -- ?\nFROM sky WHERE id = ?"
    cursor.execute(query, ["it's", 41, None, int(SKY.id[3])])
    assert cursor.fetchall() == [("it's", 42, "?", None)]
    cursor.execute("SELECT count(*) FROM sky WHERE id IN (SELECT unnest(?))", [SKY.id[:7].tolist()])
    assert cursor.fetchone() == (7,)


@pytest.mark.parametrize("parameters", [[], [1, 2]])
def test_other_numbers_of_parameters_are_refused(
    cursor: dbapi.Cursor, parameters: list[int]
) -> None:
    with pytest.raises(dbapi.ProgrammingError, match="1 question marks"):
        cursor.execute("SELECT ?", parameters)


@pytest.mark.parametrize("parameters", [{"a": 1}, {1}, "a", b"a"])
def test_parameters_without_an_order_of_their_own_are_refused(
    cursor: dbapi.Cursor, parameters: Any
) -> None:
    """A name would else be taken for a value."""
    with pytest.raises(dbapi.ProgrammingError, match="list or a tuple"):
        cursor.execute("SELECT ?", parameters)


def test_a_failure_leaves_no_rows_of_what_went_before(cursor: dbapi.Cursor) -> None:
    cursor.execute("SELECT range FROM range(3)")
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute("SELECT * FROM nosuch")
    assert (cursor.description, cursor.rowcount) == (None, -1)
    with pytest.raises(dbapi.InterfaceError):
        cursor.fetchone()


def test_a_description_has_names_and_types(cursor: dbapi.Cursor) -> None:
    cursor.execute(
        "SELECT 1 AS a, 'x' AS b, DATE '2026-01-02' AS c, TIMESTAMP '2026-01-02 03:04:05' AS d,"
        " 1.5::DECIMAL(9,2) AS e, 'y'::BLOB AS f, [1] AS g, 2.5::DOUBLE AS h"
    )
    assert cursor.description is not None
    assert [column[0] for column in cursor.description] == list("abcdefgh")
    assert all(len(column) == 7 for column in cursor.description)
    kinds = [column[1] for column in cursor.description]
    expected = ["NUMBER", "STRING", "DATETIME", "DATETIME", "NUMBER", "BINARY", "-", "NUMBER"]
    for kind, name in zip(kinds, expected, strict=True):
        for each in ("STRING", "BINARY", "NUMBER", "DATETIME", "ROWID"):
            assert (getattr(dbapi, each) == kind) == (each == name), (kind, each)
    (row,) = cursor.fetchall()
    assert row[2] == dbapi.Date(2026, 1, 2)
    assert row[3] == dbapi.Timestamp(2026, 1, 2, 3, 4, 5)
    assert row[4] == decimal.Decimal("1.50")
    assert row[5] == dbapi.Binary(b"y")


def test_rows_come_as_arrow_and_pandas(cursor: dbapi.Cursor) -> None:
    cursor.execute("SELECT id % 2 AS odd, count(*) AS n FROM sky GROUP BY odd ORDER BY odd")
    assert cursor.arrow().to_pydict() == {"odd": [0, 1], "n": [500, 500]}
    assert cursor.df()["n"].tolist() == [500, 500]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELEC 1", dbapi.ProgrammingError),
        ("SELECT nosuch FROM sky", dbapi.ProgrammingError),
        ("SELECT * FROM nosuch", dbapi.ProgrammingError),
        ("SELECT '", dbapi.ProgrammingError),
        ("CREATE TABLE t AS SELECT 1", dbapi.NotSupportedError),
        ("SELECT * FROM read_csv('/etc/passwd')", dbapi.NotSupportedError),
    ],
)
def test_errors_are_the_modules_own(
    cursor: dbapi.Cursor, query: str, kind: type[dbapi.Error]
) -> None:
    with pytest.raises(dbapi.DatabaseError) as caught:
        cursor.execute(query)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None


def test_what_is_not_the_querys_fault_is_operational(tmp_path: Path) -> None:
    with Cache(tmp_path / "root") as cache, fscache.connect_sql(cache=cache) as connection:
        with pytest.raises(dbapi.OperationalError) as caught:
            connection.cursor().execute("SELECT * FROM 'http://127.0.0.1:1/x.parquet'")
        assert isinstance(caught.value.__cause__, StageError)


def test_a_failure_keeps_what_was_wrong(cursor: dbapi.Cursor) -> None:
    with pytest.raises(dbapi.ProgrammingError) as caught:
        cursor.execute("SELECT nosuch FROM sky")
    assert isinstance(caught.value.__cause__, SQLError)


def test_what_is_closed_is_not_used(cache: Cache) -> None:
    connection = fscache.connect_sql(cache=cache)
    cursor = connection.cursor()
    with pytest.raises(dbapi.InterfaceError, match="nothing has been executed"):
        cursor.fetchone()
    connection.commit()
    connection.rollback()
    other = connection.cursor()
    cursor.close()
    for call in (lambda: cursor.execute("SELECT 1"), cursor.fetchall):
        with pytest.raises(dbapi.InterfaceError, match="cursor is closed"):
            call()
    connection.close()
    connection.close()
    attempts: list[Any] = [
        connection.cursor,
        connection.commit,
        connection.rollback,
        lambda: other.execute("SELECT 1"),
    ]
    for attempt in attempts:
        with pytest.raises(dbapi.InterfaceError, match="connection is closed"):
            attempt()


def test_what_pep_249_asks_for_and_nobody_needs(cursor: dbapi.Cursor) -> None:
    cursor.setinputsizes([1])
    cursor.setoutputsize(1)
    with pytest.raises(dbapi.NotSupportedError):
        cursor.executemany("SELECT ?", [[1], [2]])
    now = dt.datetime(2026, 1, 2, 3, 4, 5).timestamp()  # noqa: DTZ001 - local, as PEP 249 has it
    assert dbapi.DateFromTicks(now) == dt.date(2026, 1, 2)
    assert dbapi.TimeFromTicks(now) == dbapi.Time(3, 4, 5)
    assert dbapi.TimestampFromTicks(now) == dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001
