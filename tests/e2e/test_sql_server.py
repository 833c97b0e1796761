"""Queries over HTTP to a data server that runs them itself."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from fscache.cache import Cache
from fscache.cli.stager import Queries
from fscache.errors import TryAgainError
from fscache.grid import Grid, tls
from tests.support.catalogue import deploy, make
from tests.support.servers import DEADLINE, Serving, serving, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.origin import Origin

SKY = make(3000)
ARROW = "application/vnd.apache.arrow.stream"
ENDLESS = "SELECT sum(a.range % b.range) FROM range(1, 1000000000) a, range(1, 1000000000) b"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    path: Path = tmp_path_factory.mktemp("sql")
    with Cache(path / "root") as cache:
        deploy(cache, SKY.table(), "sky", path / "files", shards=3)
    with serving(path / "root", run=Queries) as serving_it:
        yield serving_it


def ask(
    served: Serving, method: str, path: str, body: Any = None, accept: str = "*/*"
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(served.address, timeout=DEADLINE)
    headers = {
        "Authorization": f"Bearer {served.token()}",
        "Content-Type": "application/json",
        "Accept": accept,
    }
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    try:
        return answer, answer.read()
    finally:
        connection.close()


def test_rows_come_as_json_lines(served: Serving) -> None:
    query = "SELECT id % 2 AS odd, histogram(best.i.psf_mag, bins => 4, range => (10, 30)) AS h FROM sky"
    answer, body = ask(served, "POST", "/sql", {"query": f"{query} GROUP BY odd ORDER BY odd"})
    assert answer.status == 200
    rows = [json.loads(line) for line in body.splitlines()]
    assert [row["odd"] for row in rows] == [0, 1]
    assert len(rows[0]["h"]["counts"]) == 4


def test_rows_come_as_arrow(served: Serving) -> None:
    body = {"query": "SELECT id FROM sky WHERE id >= shared.least", "shared": {"least": 1 << 55}}
    answer, data = ask(served, "POST", "/sql", body, ARROW)
    assert answer.status == 200
    table = pa.ipc.open_stream(data).read_all()
    assert sorted(table["id"].to_pylist()) == sorted(SKY.id.tolist())


@pytest.mark.parametrize("accept", [ARROW, "application/json"])
def test_no_rows_are_no_error(served: Serving, accept: str) -> None:
    answer, data = ask(served, "POST", "/sql", {"query": "SELECT id FROM sky LIMIT 0"}, accept)
    assert answer.status == 200
    if accept == ARROW:
        assert pa.ipc.open_stream(data).read_all().column_names == ["id"]
    else:
        assert data == b""


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELECT nosuch FROM sky", 400, "sql"),
        ("SELECT * FROM nosuch", 404, "unknown-table"),
        ("SELECT * FROM sqlite_master", 404, "unknown-table"),
        ("DROP TABLE sky", 400, "sql-refused"),
        ("SELECT * FROM read_text('/etc/passwd')", 400, "sql-refused"),
    ],
)
def test_what_is_wrong_with_a_query_is_told(
    served: Serving, query: str, status: int, code: str
) -> None:
    answer, body = ask(served, "POST", "/sql", {"query": query})
    assert (answer.status, json.loads(body)["code"]) == (status, code)


def test_a_plan_is_rows_too(served: Serving) -> None:
    answer, body = ask(served, "POST", "/sql", {"query": "EXPLAIN SELECT count(*) FROM sky"})
    assert answer.status == 200
    assert json.loads(body)["relation"] == "answer"


def test_a_url_that_cannot_be_read_is_the_querys_fault(tmp_path: Path, origin: Origin) -> None:
    url = origin.add("/x.txt", b"no Parquet")
    with serving(tmp_path / "root", run=Queries) as fetching:
        answer, body = ask(fetching, "POST", "/sql", {"query": f"SELECT * FROM '{url}'"})
    assert (answer.status, json.loads(body)["code"]) == (400, "sql")
    assert url.encode() in body
    assert b"objects" not in body


def _described(served: Serving, name: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(ask(served, "GET", f"/sql/{name}")[1])
    return fields


def test_a_deferred_query_is_asked_for_later(served: Serving) -> None:
    answer, body = ask(
        served, "POST", "/sql", {"query": "SELECT id FROM sky", "deferred": True}, ARROW
    )
    assert answer.status == 202
    name = json.loads(body)["id"]
    end = time.monotonic() + DEADLINE
    while _described(served, name)["state"] == "running":
        assert time.monotonic() < end
    data = ask(served, "GET", f"/sql/{name}/rows")[1]
    assert pa.ipc.open_stream(data).read_all().num_rows == 3000
    assert ask(served, "DELETE", f"/sql/{name}")[0].status == 200
    assert ask(served, "GET", f"/sql/{name}")[0].status == 404


def test_delete_ends_a_query_that_computes(served: Serving) -> None:
    _, body = ask(served, "POST", "/sql", {"query": ENDLESS, "deferred": True})
    name = json.loads(body)["id"]
    assert _described(served, name)["state"] == "running"
    _, body = ask(served, "DELETE", f"/sql/{name}")
    assert json.loads(body)["state"] == "cancelled"
    # Its place is free at once, and the engine with it.
    for _ in range(5):
        assert ask(served, "POST", "/sql", {"query": "SELECT count(*) FROM sky"})[0].status == 200


def test_a_query_does_not_reach_into_the_servers_network(tmp_path: Path) -> None:
    with serving(tmp_path / "root", config={"allow_private": False}, run=Queries) as guarded:
        query = "SELECT * FROM 'http://127.0.0.1:1/x.parquet'"
        answer, body = ask(guarded, "POST", "/sql", {"query": query})
        assert (answer.status, json.loads(body)["code"]) == (403, "target-refused")


def test_a_grid_is_joined_by_the_first_query_joined_anew_and_left_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls.create(str(tmp_path / "tls"), "head")
    joined: list[Grid] = []
    made: list[Queries] = []
    join = Grid.__init__

    def noted(self: Grid, *given: Any, **named: Any) -> None:
        joined.append(self)
        join(self, *given, **named)

    with Grid(workers=1, tls=str(tmp_path / "tls"), cache=Cache(tmp_path / "head")) as head:
        monkeypatch.setattr(Grid, "__init__", noted)
        config = {"grid": head.cluster.address, "grid_tls": str(tmp_path / "tls")}

        def run(cache: Cache) -> Queries:
            made.append(Queries(cache))
            return made[0]

        with serving(tmp_path / "root", config=config, run=run) as served:
            for asked in range(3):
                answer, body = ask(served, "POST", "/sql", {"query": "SELECT 42 AS x"})
                assert (answer.status, json.loads(body)) == (200, {"x": 42})
                if asked == 1:
                    joined[0].cluster.close()  # as when its scheduler is gone
            assert [grid.ishalted() for grid in joined] == [True, False]
        assert [grid._halted for grid in joined] == [True, True]
        with pytest.raises(TryAgainError):
            made[0]("SELECT 42", shared={}, max_gather=None, kind="json", progress=print)
        assert all(grid._halted for grid in joined)


def test_the_stager_itself_answers_queries(tmp_path: Path) -> None:
    root = tmp_path / "root"
    command = [sys.executable, "-m", "fscache.cli.stager", "--root", str(root), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip().partition("://")[2]
            connection = http.client.HTTPConnection(address, timeout=DEADLINE)
            headers = {
                "Authorization": f"Bearer {token_of(root)}",
                "Content-Type": "application/json",
            }
            connection.request("POST", "/sql", json.dumps({"query": "SELECT 42 AS x"}), headers)
            assert json.loads(connection.getresponse().read()) == {"x": 42}
            late = {"query": ENDLESS, "deferred": True}  # still runs when the server ends
            connection.request("POST", "/sql", json.dumps(late), headers)
            assert connection.getresponse().status == 202
            connection.close()
        finally:
            process.terminate()
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert "nanobind" not in process.stderr.read()
