"""SQL's front ends in front of a grid that runs: command line, data server, DB-API."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

import fscache
from fscache.cache import Cache
from tests.support.catalogue import make
from tests.support.commands import PROGRAM, Shell
from tests.support.gridwork import until
from tests.support.servers import DEADLINE, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY = make(2000)
COUNT = "SELECT id % 2 AS odd, count(*) AS n FROM sky GROUP BY odd ORDER BY odd"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="module")
def shell(place: Path) -> Iterator[Shell]:
    """A shell that knows a head with one worker, and a table."""
    made = Shell(str(place))
    assert made.run("workers", "init").code == 0
    head = subprocess.Popen(
        [PROGRAM, "workers", "head", "--host", "127.0.0.1", "--port", "0"],
        env=made.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert head.stdout is not None
    try:
        made.environ["FSCACHE_GRID"] = head.stdout.readline().strip()
        made.environ["FSCACHE_ROOT"] = str(place / "root")
        assert made.run("workers", "start", "--name", "w1", "--threads", "1").code == 0
        until(
            lambda: (
                [w["state"] for w in made.run("--json", "workers", "status", "w1").objects]
                == ["working"]
            ),
            "the worker to join",
        )
        (place / "files").mkdir()
        pq.write_table(SKY.table(), place / "files" / "all.parquet")
        ran = made.run("tables", "deploy", str(place / "files"), "sky", "--shards", "4")
        assert ran.code == 0, ran.err
        yield made
    finally:
        made.run("workers", "stop")
        head.terminate()
        head.stdout.close()
        assert head.wait(DEADLINE) == 0


def test_the_command_line_asks_the_grid(shell: Shell) -> None:
    ran = shell.run("sql", COUNT, "--json")
    assert (ran.code, ran.objects) == (0, [{"odd": 0, "n": 1000}, {"odd": 1, "n": 1000}]), ran.err
    address = shell.environ["FSCACHE_GRID"]
    ran = shell.run("sql", COUNT, "--grid", address, "--format", "csv", FSCACHE_GRID="")
    assert ran.lines == ["odd,n", "0,1000", "1,1000"], ran.err
    ran = shell.run("sql", f"EXPLAIN {COUNT}")
    assert "two-phase" in ran.out.decode()


def test_a_grid_that_is_not_there_is_an_error_of_the_network(shell: Shell) -> None:
    assert shell.run("sql", COUNT, "--grid", "tls://127.0.0.1:1").code == 4


def test_ctrl_c_ends_a_query_on_the_workers(shell: Shell) -> None:
    query = "SELECT sum(hash(a.id, b.id, c.id) % 7) FROM sky a, sky b, sky c"
    with shell.start("sql", query, "--format", "csv") as process:
        until(lambda: len(os.listdir(f"/proc/{process.pid}/task")) > 1, "the query to begin")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
        assert (process.returncode, out) == (130, b""), err
    assert shell.run("sql", COUNT, "--json").code == 0  # the worker is free


def test_the_data_server_asks_the_grid(shell: Shell, place: Path) -> None:
    root = place / "root"
    command = [sys.executable, "-m", "fscache.cli.stager", "--root", str(root), "--port", "0"]
    with subprocess.Popen(command, env=shell.environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip().partition("://")[2]
            headers = {
                "Authorization": f"Bearer {token_of(root)}",
                "Content-Type": "application/json",
            }
            for _ in range(2):
                connection = http.client.HTTPConnection(address, timeout=DEADLINE)
                body = json.dumps({"query": COUNT, "shared": {}})
                connection.request("POST", "/sql", body, headers)
                lines = connection.getresponse().read().splitlines()
                connection.close()
                assert [json.loads(line)["n"] for line in lines] == [1000, 1000]
        finally:
            process.terminate()
        assert process.wait(DEADLINE) == 0


def test_a_database_connection_joins_the_grid(shell: Shell, place: Path, tmp_path: Path) -> None:
    tls = str(place / ".config" / "fscache" / "grid")
    with (
        Cache(tmp_path / "root") as cache,
        fscache.connect_sql(shell.environ["FSCACHE_GRID"], tls=tls, cache=cache) as connection,
    ):
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM sky WHERE best.i.ext < ? ORDER BY id", [0.1])
        found = [row[0] for row in cursor]
    assert found == np.sort(SKY.id[SKY.ext["i"] < 0.1]).tolist()
