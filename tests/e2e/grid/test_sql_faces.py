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
from tests.support.gridwork import until
from tests.support.servers import DEADLINE, token_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands import Shell

SKY = make(2000)
COUNT = "SELECT id % 2 AS odd, count(*) AS n FROM sky GROUP BY odd ORDER BY odd"


@pytest.fixture(scope="module")
def shell(shell: Shell, place: Path) -> Shell:
    """With one worker, and a table."""
    assert shell.run("workers", "start", "--name", "w1", "--threads", "1").code == 0
    until(
        lambda: (
            [w["state"] for w in shell.run("--json", "workers", "status", "w1").objects]
            == ["working"]
        ),
        "the worker to join",
    )
    (place / "files").mkdir()
    pq.write_table(SKY.table(), place / "files" / "all.parquet")
    ran = shell.run("tables", "deploy", str(place / "files"), "sky", "--shards", "4")
    assert ran.code == 0, ran.err
    return shell


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
