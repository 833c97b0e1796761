"""`fscache sql`, as a user calls it: queries in this process, on tables and URLs of the cache."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fscache.cache import Cache
from tests.support.catalogue import deploy, make
from tests.support.commands import Shell
from tests.support.gridwork import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Origin

KINDS = (
    "SELECT id % 2 AS odd, count(*) AS n, minmax(best.i.psf_flux) AS m, NULL AS nothing, 'a,b' AS text"
    " FROM sky GROUP BY odd ORDER BY odd"
)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(str(tmp_path))
    with Cache(str(tmp_path / ".cache" / "fscache")) as cache:
        deploy(cache, make(1000).table(), "sky", tmp_path / "files", shards=3)
    return shell


def test_a_table_is_for_people(shell: Shell) -> None:
    done = shell.run("sql", "SELECT id % 2 AS odd, count(*) AS n FROM sky GROUP BY 1 ORDER BY 1")
    assert (done.code, done.err) == (0, "")
    assert done.lines == ["odd    n", "  0  500", "  1  500"]


def test_csv_has_a_head_and_quotes(shell: Shell) -> None:
    done = shell.run("sql", KINDS, "--format", "csv")
    assert (done.code, done.err) == (0, "")
    head, *rows = csv.reader(io.StringIO(done.out.decode()))
    assert head == ["odd", "n", "m", "nothing", "text"]
    assert [row[:2] + row[3:] for row in rows] == [["0", "500", "", "a,b"], ["1", "500", "", "a,b"]]
    assert json.loads(rows[0][2])["min"] == -5.0


@pytest.mark.parametrize("how", [["--format", "json"], ["--json"]])
def test_json_has_an_object_a_line(shell: Shell, how: list[str]) -> None:
    done = shell.run("sql", KINDS, *how)
    assert (done.code, done.err) == (0, "")
    assert [row["n"] for row in done.objects] == [500, 500]
    assert done.objects[0]["m"]["min"] == -5.0
    assert done.objects[0]["nothing"] is None


def test_a_plan_has_every_form(shell: Shell) -> None:
    for kind in ("csv", "json", "parquet", "arrow", "table"):
        done = shell.run("sql", "EXPLAIN SELECT 1", "--format", kind)
        assert (done.code, done.err) == (0, ""), kind
        assert b"answer" in done.out


def test_json_has_no_nan(shell: Shell) -> None:
    done = shell.run("sql", "SELECT 'nan'::DOUBLE AS x, 1.5::DECIMAL(9,2) AS d", "--json")
    assert done.objects == [{"x": None, "d": "1.50"}]


def test_arrow_and_parquet_keep_types(shell: Shell, tmp_path: Path) -> None:
    query = "SELECT id, best FROM sky ORDER BY id"
    done = shell.run("sql", query, "--format", "arrow")
    assert done.code == 0, done.err
    table = pa.ipc.open_stream(done.out).read_all()
    assert table.num_rows == 1000
    assert pa.types.is_struct(table.schema.field("best").type)
    assert shell.run("sql", query, "-o", "out.parquet").code == 0
    piped = shell.run("sql", query, "-o", "-", "--format", "parquet").out
    assert piped == (tmp_path / "out.parquet").read_bytes()
    assert pq.read_table(tmp_path / "out.parquet").column("id") == table.column("id")
    assert shell.run("sql", f"{query} LIMIT 0", "-o", "none.parquet").code == 0
    assert pq.read_table(tmp_path / "none.parquet").schema.names == ["id", "best"]


@pytest.mark.parametrize("value", ["INTERVAL 3 DAY", "[union_value(a := 1)]"])
def test_what_parquet_has_no_type_for_is_the_querys_fault(
    shell: Shell, tmp_path: Path, value: str
) -> None:
    done = shell.run("sql", f"SELECT {value} AS x", "-o", "x.parquet")
    assert (done.code, "VARCHAR" in done.err) == (2, True), done.err
    assert not (tmp_path / "x.parquet").exists()
    assert shell.run("sql", f"SELECT ({value})::VARCHAR AS x", "-o", "x.parquet").code == 0


def test_the_name_of_the_file_says_what_it_is(shell: Shell, tmp_path: Path) -> None:
    for name in ("a.csv", "a.json", "a.jsonl", "a.txt", "a.arrow"):
        assert shell.run("sql", "SELECT 1 AS one, 2 AS one", "-o", name).code == 0
    assert (tmp_path / "a.csv").read_text() == "one,one\n1,2\n"
    assert (tmp_path / "a.json").read_text() == '{"one": 1, "one_1": 2}\n'
    assert (tmp_path / "a.jsonl").read_text() == '{"one": 1, "one_1": 2}\n'
    assert (tmp_path / "a.txt").read_text().split() == ["one", "one", "1", "2"]
    assert pa.ipc.open_stream((tmp_path / "a.arrow").read_bytes()).read_all().num_rows == 1
    done = shell.run("sql", "SELECT 1 AS one", "-o", "a.foo")
    assert (done.code, "--format" in done.err) == (2, True)
    assert not (tmp_path / "a.foo").exists()
    assert shell.run("sql", "SELECT 1 AS one", "-o", "a.foo", "--json").code == 0
    assert (tmp_path / "a.foo").read_text() == '{"one": 1}\n'


def test_a_query_that_fails_leaves_the_file_as_it_was(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("before\n")
    done = shell.run("sql", "SELECT nosuch FROM sky", "-o", "a.csv")
    assert done.code == 2
    assert (tmp_path / "a.csv").read_text() == "before\n"
    assert not list(tmp_path.glob(".fscache-*"))


def test_a_file_that_cannot_be_written_is_an_error_and_no_crash(
    shell: Shell, tmp_path: Path
) -> None:
    done = shell.run("sql", "SELECT 1", "-o", "nosuch/a.csv")
    assert done.code == 3
    assert done.err == f"fscache: error: {tmp_path}/nosuch: No such file or directory\n"


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_reader_that_goes_ends_the_query_without_a_word(shell: Shell, kind: str) -> None:
    query = "SELECT range AS i, range % 7 AS k FROM range(10000000)"
    with shell.start("sql", query, "--format", kind) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_shared_values_come_from_the_command_line_and_from_files(
    shell: Shell, tmp_path: Path
) -> None:
    sky = make(1000)
    mine = np.degrees(np.stack([sky.ra[:20], sky.dec[:20]])).tolist()
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    query = (
        "SELECT shared.n + 1 AS n, crossmatch(best.pos, shared.mine / degree, 1 / arcsec, id) AS c"
        " FROM sky"
    )
    done = shell.run("sql", query, "--shared", "n=41", "--shared", "mine=@mine.json", "--json")
    assert done.code == 0, done.err
    (row,) = done.objects
    assert row["n"] == 42
    pairs = dict(zip(row["c"]["obj_indices"], row["c"]["fields"]["id"], strict=True))
    assert pairs == dict(enumerate(sky.id[:20].tolist()))


def test_a_url_is_staged_and_queried(shell: Shell, origin: Origin, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "x.parquet")
    url = origin.add("/x.parquet", (tmp_path / "x.parquet").read_bytes())
    for _ in range(2):
        done = shell.run("sql", f"SELECT sum(x) AS s FROM '{url}'", "--json")
        assert (done.code, done.objects) == (0, [{"s": 6}]), done.err
    assert shell.run("path", url).code == 0


def test_a_query_comes_from_standard_input(shell: Shell) -> None:
    assert shell.run("sql", "-", "--json", stdin=b"SELECT\n 1 AS x").objects == [{"x": 1}]


@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_text_is_utf_8_whatever_the_encoding_of_the_output(shell: Shell, kind: str) -> None:
    shell.environ["PYTHONIOENCODING"] = "ascii"
    query = "SELECT 'grün 星' AS \"größe\""
    said = shell.run("sql", query, "--format", kind)
    assert (said.code, said.err) == (0, "")
    if kind == "json":
        assert said.objects == [{"größe": "grün 星"}]
    else:
        assert said.out.decode() == "größe\ngrün 星\n"
    assert shell.run("sql", "-", "--format", kind, stdin=query.encode()).out == said.out


def test_what_is_no_utf_8_is_a_wrong_argument(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'"gr\xfcn"')
    asked = [
        shell.run("sql", os.fsdecode(b"SELECT 'gr\xfcn'")),
        shell.run("sql", "-", stdin=b"SELECT 'gr\xfcn'"),
        shell.run("sql", "SELECT shared.x", "--shared", "x=@x.json"),
    ]
    for done in asked:
        assert (done.code, done.out) == (2, b"")
        assert "unexpected" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["SELEC 1"], 2),
        (["SELECT nosuch FROM sky"], 2),
        (["SELECT histogram(id, bins => 0) FROM sky"], 2),
        (["SELECT 1", "--shared", "x"], 2),
        (["SELECT 1", "--shared", "x={"], 2),
        (["SELECT 1", "--shared", "x=@nosuch.json"], 3),
        (["SELECT 1", "--max-gather", "much"], 2),
        (["SELECT 1", "--format", "xml"], 2),
        (["SELECT * FROM nosuch"], 3),
        (["DROP TABLE sky"], 7),
        (["SELECT * FROM read_csv('/etc/passwd')"], 7),
        (["SELECT 1", "--grid", "tls://127.0.0.1:1"], 7),  # without certificates
    ],
)
def test_exit_codes(shell: Shell, arguments: list[str], code: int) -> None:
    done = shell.run("sql", *arguments)
    assert done.code == code, done.err
    assert done.out == b""
    assert done.err.strip()


@pytest.mark.parametrize("kind", ["table", "csv"])
def test_ctrl_c_stops_a_query(shell: Shell, kind: str) -> None:
    query = "SELECT sum(a.range % b.range) FROM range(1, 1000000000) a, range(1, 1000000000) b"
    with shell.start("sql", query, "--format", kind) as process:
        # A thread beside the first: DuckDB is there, and the query begins or runs.
        until(lambda: len(os.listdir(f"/proc/{process.pid}/task")) > 1, "the query to begin")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, b""), err
