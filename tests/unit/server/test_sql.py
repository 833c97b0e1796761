"""Queries over HTTP: what is sent, how it ends, and who may; what runs them is handed in."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import CancelledError
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from fscache.errors import SQLError
from fscache.server.limits import Limits
from fscache.server.queries import Query
from fscache.server.sql import KEPT, Queries
from tests.support.servers import DEADLINE, Serving, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ARROW = "application/vnd.apache.arrow.stream"


class Rows:
    """Rows that the test hands out; ends with what `end` is, or when it is cancelled."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.parts: list[bytes] = [b"one\n", b"two\n"]
        self.end: BaseException | None = None
        self.going = threading.Event()
        self.cancelled = threading.Event()
        self.last: Callable[[], object] = lambda: None

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        assert self.going.wait(DEADLINE)
        if self.cancelled.is_set():
            raise CancelledError
        if self.end is not None:
            raise self.end
        self.last()

    def cancel(self) -> None:
        self.cancelled.set()
        self.going.set()


class Runner:
    """Stands for the grid: takes queries, and keeps them for the test."""

    def __init__(self) -> None:
        self.begun: list[Rows] = []
        self.closed = False
        self.prepare = lambda _rows: None

    def __call__(self, query: str, **options: Any) -> Rows:
        rows = Rows({"query": query, **options})
        options["progress"](SimpleNamespace(done=3, total=7, seconds=0.1))
        self.prepare(rows)
        self.begun.append(rows)
        return rows

    def close(self) -> None:
        self.closed = True


@contextmanager
def asking(tmp_path: Path, **settings: Any) -> Iterator[tuple[Serving, Runner]]:
    runner = Runner()
    with serving(tmp_path / "root", run=lambda _cache: runner, **settings) as served:
        yield served, runner
        for rows in runner.begun:
            rows.going.set()
    assert runner.closed


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while Client.made:
        client = Client.made.pop()
        for answer in client.answers:
            answer.close()
        client.connection.close()


class Client:
    made: ClassVar[list[Client]] = []

    def __init__(self, served: Serving, role: str | None = "use") -> None:
        self.connection = http.client.HTTPConnection(served.address, timeout=DEADLINE)
        self.headers = {"Content-Type": "application/json"}
        self.answers: list[http.client.HTTPResponse] = []
        self.made.append(self)
        if role is not None:
            self.headers["Authorization"] = f"Bearer {served.token(role)}"

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> http.client.HTTPResponse:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        self.connection.request(method, path, data, {**self.headers, **headers})
        self.answers.append(self.connection.getresponse())
        return self.answers[-1]

    def fields(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.ask(method, path, body)
        return answer.status, json.loads(answer.read())


def free(rows: Rows) -> None:
    rows.going.set()


def test_rows_are_sent_as_they_come(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        client = Client(served)
        answer = client.ask(
            "POST",
            "/sql",
            {"query": "SELECT 1", "shared": {"x": [1]}, "max_gather": 5},
            Accept=ARROW,
        )
        assert answer.status == 200
        assert answer.headers["Content-Type"] == ARROW
        assert answer.readline() == b"one\n"  # the query still runs
        name = answer.headers["X-Fscache-Query"]
        status, fields = Client(served).fields("GET", f"/sql/{name}")
        assert (status, fields["state"], fields["done"], fields["total"]) == (200, "running", 3, 7)
        (rows,) = runner.begun
        assert (
            rows.asked.items()
            >= {
                "query": "SELECT 1",
                "shared": {"x": [1]},
                "max_gather": 5,
                "kind": "arrow",
            }.items()
        )
        rows.going.set()
        assert answer.read() == b"two\n"
        assert client.fields("GET", f"/sql/{name}")[1]["state"] == "done"  # on the same connection


def test_json_is_the_default(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        runner.prepare = free
        answer = Client(served).ask("POST", "/sql", {"query": "q"})
        assert answer.headers["Content-Type"] == "application/jsonl"
        assert runner.begun[0].asked["kind"] == "json"
        assert answer.read() == b"one\ntwo\n"


def test_no_rows_are_an_empty_body(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        runner.prepare = lambda rows: (rows.parts.clear(), rows.going.set())
        answer = Client(served).ask("POST", "/sql", {"query": "q"})
        assert (answer.status, answer.read()) == (200, b"")


def test_an_error_before_the_rows_is_the_answer(tmp_path: Path) -> None:
    def fails(rows: Rows) -> None:
        rows.parts.clear()
        rows.end = SQLError("no such column", "SELECT x", 7)
        rows.going.set()

    with asking(tmp_path) as (served, runner):
        runner.prepare = fails
        status, fields = Client(served).fields("POST", "/sql", {"query": "SELECT x"})
        assert status == 400
        assert fields["code"] == "sql"
        assert fields["fields"]["position"] == 7


def test_an_error_behind_rows_cuts_the_answer_short(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        answer = Client(served).ask("POST", "/sql", {"query": "q"})
        assert answer.readline() == b"one\n"
        runner.begun[0].end = SQLError("out of luck", "q")
        runner.begun[0].going.set()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
        name = answer.headers["X-Fscache-Query"]
        _, fields = Client(served).fields("GET", f"/sql/{name}")
        assert fields["state"] == "failed"
        assert fields["error"]["message"] == "out of luck"


def test_what_is_no_error_of_ours_is_not_shown(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        _, fields = Client(served).fields("POST", "/sql", {"query": "q", "deferred": True})
        runner.begun[0].end = ZeroDivisionError("/secret/path")
        runner.begun[0].going.set()
        fields = _ended(served, fields["id"])
        assert "secret" not in json.dumps(fields)
        assert fields["error"]["code"] == "grid"


def test_delete_cancels_a_query_that_runs(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        answer = Client(served).ask("POST", "/sql", {"query": "q"})
        name = answer.headers["X-Fscache-Query"]
        status, fields = Client(served).fields("DELETE", f"/sql/{name}")
        assert (status, fields["state"]) == (200, "cancelled")
        assert runner.begun[0].cancelled.is_set()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


@pytest.mark.parametrize("rows", [0, 2], ids=["waiting", "reading"])
def test_who_closes_the_connection_cancels(tmp_path: Path, rows: int) -> None:
    with asking(tmp_path) as (served, runner):
        begun = threading.Event()
        runner.prepare = lambda made: (made.parts.__delitem__(slice(rows, None)), begun.set())
        client = Client(served)
        client.connection.request("POST", "/sql", json.dumps({"query": "q"}), client.headers)
        assert begun.wait(DEADLINE)
        client.connection.close()
        assert runner.begun[0].cancelled.wait(DEADLINE)


def _ended(served: Serving, name: str) -> dict[str, Any]:
    """The description of a query once it has ended."""
    client = Client(served)
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.05)):
        _, fields = client.fields("GET", f"/sql/{name}")
        if fields["state"] != "running":
            return fields
        pause.wait(0.05)
    raise AssertionError("the query does not end")


def test_a_deferred_query_keeps_its_rows(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        client = Client(served)
        status, fields = client.fields("POST", "/sql", {"query": "q", "deferred": True})
        assert status == 202
        path = f"/sql/{fields['id']}"
        status, _ = client.fields("GET", f"{path}/rows")
        assert status == 503  # not yet
        runner.begun[0].going.set()
        assert _ended(served, fields["id"])["state"] == "done"
        for _ in range(2):
            answer = client.ask("GET", f"{path}/rows")
            assert answer.read() == b"one\ntwo\n"
        assert client.fields("DELETE", path)[0] == 200
        assert client.fields("GET", path)[0] == 404


def test_a_deferred_query_with_too_many_rows_fails(tmp_path: Path) -> None:
    with asking(tmp_path, limits=Limits(rows=6)) as (served, runner):
        client = Client(served)
        _, fields = client.fields("POST", "/sql", {"query": "q", "deferred": True})
        ended = _ended(served, fields["id"])
        assert ended["state"] == "failed"
        assert ended["error"]["code"] == "gather-too-large"
        assert client.fields("GET", f"/sql/{fields['id']}/rows")[1]["code"] == "gather-too-large"
        assert runner.begun[0].cancelled.is_set()


def test_more_queries_than_may_run_are_sent_away(tmp_path: Path) -> None:
    with asking(tmp_path, limits=Limits(queries=1)) as (served, runner):
        first = Client(served).ask("POST", "/sql", {"query": "q"})
        answer = Client(served).ask("POST", "/sql", {"query": "q"})
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        runner.begun[0].going.set()
        assert first.read() == b"one\ntwo\n"
        runner.prepare = free
        assert Client(served).ask("POST", "/sql", {"query": "q"}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"SELECT 1",
        b"[]",
        b'{"query": 1}',
        b'{"query": "q", "x": 1}',
        b'{"query": "q", "shared": 1}',
        b'{"query": "q", "max_gather": true}',
        b'{"query": "q", "max_gather": -1}',
        b"[" * 100_000,
    ],
)
def test_other_bodies_are_refused(tmp_path: Path, body: bytes) -> None:
    with asking(tmp_path) as (served, runner):
        assert Client(served).ask("POST", "/sql", body).status == 400
        assert not runner.begun


def test_a_page_of_another_site_cannot_ask(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        answer = Client(served).ask(
            "POST", "/sql", {"query": "q"}, **{"Content-Type": "text/plain"}
        )
        assert answer.status == 415
        assert not runner.begun


def test_a_token_is_needed(tmp_path: Path) -> None:
    with asking(tmp_path, anonymous_kv=True) as (served, runner):
        assert Client(served, None).ask("POST", "/sql", {"query": "q"}).status == 403
        assert Client(served, None).ask("GET", "/sql/0").status == 403
        assert not runner.begun
    with asking(tmp_path) as (served, runner):
        assert Client(served, None).ask("POST", "/sql", {"query": "q"}).status == 401


def test_unknown_queries_are_not_found(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, _runner):
        for method, path in (("GET", "/sql/0"), ("DELETE", "/sql/0"), ("GET", "/sql/0/rows")):
            assert Client(served).ask(method, path).status == 404


def test_a_server_without_sql_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as served:
        assert Client(served).ask("POST", "/sql", {"query": "q"}).status == 404


def test_a_stop_cancels(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        Client(served).fields("POST", "/sql", {"query": "q", "deferred": True})
    assert runner.begun[0].cancelled.is_set()


def test_rows_that_nobody_fetches_are_given_back_without_another_query(
    until: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = [0.0]
    monkeypatch.setattr("fscache.server.service.Queries", lambda *a: Queries(*a, lambda: now[0]))
    with asking(tmp_path) as (served, runner):
        now[0] = 1.0
        name = Client(served).fields("POST", "/sql", {"query": "SELECT 1", "deferred": True})[1][
            "id"
        ]
        free(runner.begun[0])
        queries = served.server._queries
        assert queries is not None
        query = queries._known[name]
        until(lambda: query.state == "done")
        now[0] += KEPT
        served.server._take_stock()
        assert query.file is not None  # not yet
        now[0] += 1.0
        served.server._take_stock()
        assert query.file is None
        assert Client(served).ask("GET", f"/sql/{name}").status == 404


class Looked(Query):
    """A query to which something happens at the moment when somebody looks at its state."""

    happens: ClassVar[Callable[[Query], object] | None] = None

    @property
    def state(self) -> str:  # type: ignore[override]
        happens, Looked.happens = Looked.happens, None
        if happens is not None:
            happens(self)
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        self._state = state


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> type[Looked]:
    monkeypatch.setattr("fscache.server.sql.Query", Looked)
    return Looked


def forget(served: Serving, query: Query) -> None:
    assert Client(served).fields("DELETE", f"/sql/{query.id}")[0] == 200


def expire(served: Serving, query: Query) -> None:
    query.ended -= KEPT + 1.0
    assert served.server._queries is not None
    served.server._queries.sweep()


@pytest.mark.parametrize("happens", [forget, expire])
def test_rows_that_go_while_they_are_asked_for_are_not_found(
    tmp_path: Path, looked: type[Looked], happens: Callable[[Serving, Query], None]
) -> None:
    with asking(tmp_path) as (served, runner):
        runner.prepare = free
        client = Client(served)
        name = client.fields("POST", "/sql", {"query": "q", "deferred": True})[1]["id"]
        assert _ended(served, name)["state"] == "done"
        looked.happens = lambda query: happens(served, query)
        status, fields = client.fields("GET", f"/sql/{name}/rows")
        assert (status, fields["code"]) == (404, "unknown-request")
        assert looked.happens is None


@pytest.mark.parametrize(
    ("error", "code"),
    [(SQLError("out of luck", "q"), "sql"), (CancelledError(), "refused-request")],
    ids=["fails", "is cancelled"],
)
def test_a_query_that_ends_badly_while_its_rows_are_asked_for_gives_none(
    tmp_path: Path, looked: type[Looked], error: Exception, code: str
) -> None:
    with asking(tmp_path) as (served, _runner):
        client = Client(served)
        name = client.fields("POST", "/sql", {"query": "q", "deferred": True})[1]["id"]
        looked.happens = lambda query: query.end(error)  # some rows are in the file
        status, fields = client.fields("GET", f"/sql/{name}/rows")
        assert (status, fields["code"]) == (400, code)
        assert looked.happens is None


def test_rows_are_read_on_when_they_are_forgotten(tmp_path: Path) -> None:
    part = bytes(8 << 20)  # more than any socket takes at once
    with asking(tmp_path) as (served, runner):
        runner.prepare = lambda rows: (rows.parts.append(part), rows.going.set())
        name = Client(served).fields("POST", "/sql", {"query": "q", "deferred": True})[1]["id"]
        assert _ended(served, name)["state"] == "done"
        readers = [Client(served).ask("GET", f"/sql/{name}/rows") for _ in range(2)]
        assert Client(served).fields("DELETE", f"/sql/{name}")[0] == 200
        assert [reader.read() for reader in readers] == [b"one\ntwo\n" + part] * 2


def test_a_query_that_is_cancelled_as_its_last_rows_come_keeps_none(
    until: Callable[..., None], tmp_path: Path
) -> None:
    with asking(tmp_path) as (served, runner):
        name = Client(served).fields("POST", "/sql", {"query": "q", "deferred": True})[1]["id"]
        assert served.server._queries is not None
        query = served.server._queries._known[name]
        runner.begun[0].last = lambda: query.end(CancelledError())
        runner.begun[0].going.set()
        until(lambda: query.file is None)
        assert query.state == "cancelled"


def test_a_query_that_begins_while_the_server_stops_is_cancelled(tmp_path: Path) -> None:
    with asking(tmp_path) as (served, runner):
        queries = served.server._queries
        assert queries is not None
        runner.prepare = lambda _rows: queries.close()
        status, _fields = Client(served).fields("POST", "/sql", {"query": "q", "deferred": True})
        assert status == 202
        assert runner.begun[0].cancelled.is_set()
