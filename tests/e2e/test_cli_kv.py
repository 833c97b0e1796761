"""The commands `fscache kv …`, as a user calls them."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fscache.cache import Cache
from tests.support.servers import serving

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.kv.local import LocalStore
    from tests.support.commands import Shell


@pytest.fixture
def kv(tmp_path: Path) -> LocalStore:
    return Cache(str(tmp_path / ".cache" / "fscache")).kv


def test_what_is_put_is_got(shell: Shell, kv: LocalStore) -> None:
    done = shell.run("kv", "put", "run_42/note", "längere Notiz")
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert shell.run("kv", "get", "run_42/note").out.decode() == "längere Notiz\n"
    assert kv.get("run_42/note") == "längere Notiz"


@pytest.mark.parametrize(
    ("text", "form", "value"),
    [
        ("5", "text", "5"),
        ("5", "json", 5),
        ('{"a": [1, null]}', "json", {"a": [1, None]}),
        ('{"$bytes": "AP8="}', "json", b"\0\xff"),
        ("x", "bytes", b"x"),
        ("", "text", ""),
    ],
)
def test_a_value_is_what_it_is_said_to_be(
    shell: Shell, kv: LocalStore, text: str, form: str, value: object
) -> None:
    assert shell.run("kv", "put", "key", text, "--as", form).code == 0
    assert kv.get("key") == value


def test_bytes_go_in_and_out_as_they_are(shell: Shell) -> None:
    data = bytes(range(256)) * 1000
    assert shell.run("kv", "put", "key", "-", "--as", "bytes", stdin=data).code == 0
    assert shell.run("kv", "get", "key").out == data


def test_other_values_are_shown_as_json(shell: Shell, kv: LocalStore) -> None:
    kv.multiput({"n": 5, "none": None, "list": [1, b"\0"], "array": np.arange(3)})
    done = shell.run("kv", "get", "n", "none", "list", "array")
    assert done.lines == ["5", "null", '[1, {"$bytes": "AA=="}]', "[0, 1, 2]"]
    done = shell.run("--json", "kv", "get", "n", "array")
    assert done.objects == [{"key": "n", "value": 5}, {"key": "array", "value": [0, 1, 2]}]


def test_a_letter_that_the_locale_lacks_stops_no_list(shell: Shell, kv: LocalStore) -> None:
    kv.multiput({"a": 1, "ü/ω": "é"})
    done = shell.run("kv", "ls", "--values", PYTHONIOENCODING="latin-1")
    assert (done.code, done.out) == (0, b"a\t1\n\xfc/\\u03c9\t\xe9\n")
    done = shell.run("admin", "ls", "--sort", "name", PYTHONIOENCODING="ascii")
    assert (done.code, b"default/\\xfc/\\u03c9" in done.out) == (0, True)


def test_a_lone_surrogate_stops_no_list(shell: Shell, kv: LocalStore) -> None:
    kv.multiput({"a": "\ud800", "b": ["\ud800"], "c": "\udcff", "d": "x"})
    for command in (["get", "a", "b", "c", "d"], ["ls", "--values"], ["export", "--csv"]):
        done = shell.run("kv", *command)
        assert (done.code, done.err) == (0, "")
        assert b"\xed\xa0\x80" in done.out or rb"\xed\xa0\x80" in done.out  # ls writes escapes
        assert done.out.endswith(b"x\n")


def test_a_missing_key_exits_with_3_and_the_others_are_shown(shell: Shell, kv: LocalStore) -> None:
    kv.put("a", "1")
    done = shell.run("kv", "get", "missing", "a")
    assert (done.code, done.lines) == (3, ["1"])
    assert done.err == "fscache: error: not in the cache: missing\n"
    assert shell.run("kv", "rm", "missing").code == 3


def test_ttl_and_tags(shell: Shell, kv: LocalStore) -> None:
    shell.run("kv", "put", "a/1", "x", "--ttl", "1h", "--tag", "red", "--tag", "big")
    shell.run("kv", "put", "b/1", "x", "--tag", "red")
    left = kv.ttl("a/1")
    assert left is not None
    assert 3500 < left <= 3600
    assert kv.tags("a/1") == ("big", "red")
    done = shell.run("kv", "put", "a/1", "x", "--ttl", "1x")
    assert done.code == 2
    assert "not a duration, such as 30d or 12h: '1x'" in done.err
    assert shell.run("kv", "ls", "--tag", "red").lines == ["a/1", "b/1"]
    assert shell.run("kv", "ls", "b/", "--tag", "red").lines == ["b/1"]


def test_ls_lists_keys_values_and_stores(shell: Shell, kv: LocalStore) -> None:
    kv.multiput({"a/1": "x", "a/2": 2, "b": "line\nbreak"})
    kv.store("other").put("k", 1)
    assert shell.run("kv", "ls").lines == ["a/1", "a/2", "b"]
    assert shell.run("kv", "ls", "a/", "--values").lines == ["a/1\tx", "a/2\t2"]
    assert shell.run("kv", "ls", "b", "--values").lines == ["b\tline\\nbreak"]
    assert shell.run("kv", "ls", "--stores").lines == ["default", "other"]
    assert shell.run("kv", "ls", "--store", "other", "--values", "--json").objects == [
        {"key": "k", "value": 1}
    ]


ODD = "\x1b[31mred\0\n\tend"
SHOWN = r"\x1b[31mred\x00\n\tend"


def test_nothing_listed_steers_a_terminal(shell: Shell, kv: LocalStore) -> None:
    kv.put(ODD, ODD)
    assert shell.run("kv", "ls").lines == [SHOWN]
    assert shell.run("kv", "ls", "--values").lines == [f"{SHOWN}\t{SHOWN}"]
    assert shell.run("kv", "ls", "--json").objects == [{"key": ODD}]


def test_nothing_watched_steers_a_terminal(shell: Shell, kv: LocalStore) -> None:
    import threading

    stop = threading.Event()

    def change() -> None:  # until it is watching, and tells
        while not stop.wait(0.05):
            kv.put(ODD, ODD)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert shell.run("kv", "watch", "--count", "2").lines == [f"{SHOWN}\t{SHOWN}"] * 2
    finally:
        stop.set()
        thread.join()


def test_rm_removes_keys_prefixes_and_the_expired(shell: Shell, kv: LocalStore) -> None:
    kv.multiput({"a/1": 1, "a/2": 2, "b": 3, "c": 4})
    assert shell.run("kv", "rm", "b").code == 0
    assert shell.run("kv", "rm", "--prefix", "a/").lines == ["2 removed"]
    assert shell.run("kv", "rm", "--expired", "--json").objects == [{"expired": True, "removed": 0}]
    assert kv.keys() == ["c"]
    done = shell.run("kv", "rm")
    assert (done.code, kv.keys()) == (2, ["c"])


def test_incr_adds_and_prints_the_sum(shell: Shell, kv: LocalStore) -> None:
    assert shell.run("kv", "incr", "n").lines == ["1"]
    assert shell.run("kv", "incr", "n", "-5").lines == ["-4"]
    assert shell.run("kv", "incr", "n", "0.5", "--json").objects == [{"key": "n", "value": -3.5}]
    kv.put("text", "x")
    assert shell.run("kv", "incr", "text").code == 2
    done = shell.run("kv", "incr", "n", "much")
    assert done.code == 2
    assert "not a number: 'much'" in done.err


def test_watch_prints_changes_as_they_come(shell: Shell, kv: LocalStore) -> None:
    kv.put("run/old", 1)
    with shell.start("kv", "watch", "run/") as process:
        assert process.stdout is not None
        # It is watching once it tells of a change; until then, make some.
        import threading

        stop = threading.Event()

        def change() -> None:
            number = 0
            while not stop.wait(0.05):
                number += 1
                kv.put("run/new", number)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            assert process.stdout.readline().startswith(b"run/new\t")
        finally:
            stop.set()
            thread.join()
        kv.delete("run/old")
        line = process.stdout.readline()
        while line.startswith(b"run/new\t"):
            line = process.stdout.readline()
        assert line == b"run/old\tremoved\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_watch_ends_when_nothing_changes(shell: Shell) -> None:
    done = shell.run("kv", "watch", "--timeout", "0.1s")
    assert (done.code, done.out) == (0, b"")


def test_watch_of_no_changes_waits_for_none(shell: Shell) -> None:
    done = shell.run("kv", "watch", "--count", "0")
    assert (done.code, done.out) == (0, b"")
    assert shell.run("kv", "watch", "--count", "-1").code == 2


def test_with_a_server_the_commands_go_to_it(shell: Shell, tmp_path: Path) -> None:
    with serving(tmp_path / "served") as server:
        environ = {"FSCACHE_SERVER": server.address, "FSCACHE_TOKEN": server.token()}
        assert shell.run("kv", "put", "run/1", "x", **environ).code == 0
        assert shell.run("kv", "incr", "n", **environ).lines == ["1"]
        assert shell.run("kv", "ls", "--values", **environ).lines == ["n\t1", "run/1\tx"]
        assert shell.run("kv", "export", "--csv", **environ).lines[1:] == ["n,1", "run/1,x"]
        here = shell.run("kv", "ls", "--root", str(tmp_path / "here"), **environ)
        assert (here.code, here.lines) == (0, [])
    assert Cache(str(tmp_path / "served")).kv.get("run/1") == "x"


# -- tables -----------------------------------------------------------------------------------

METRICS = {
    f"run_42/{worker}": {"loss": 0.5 / (worker + 1), "epoch": worker, "host": f"node{worker}"}
    for worker in range(3)
}


def test_metrics_end_in_a_table(shell: Shell, kv: LocalStore) -> None:
    kv.multiput({**METRICS, "run_43/0": {"loss": 1.0}})
    done = shell.run("kv", "export", "--prefix", "run_42/", "--csv")
    assert done.lines == [
        "key,loss,epoch,host",
        "run_42/0,0.5,0,node0",
        "run_42/1,0.25,1,node1",
        "run_42/2,0.16666666666666666,2,node2",
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_what_is_exported_is_imported(shell: Shell, kv: LocalStore, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    number = "seven" if form == "parquet" else 7  # its columns have one type each
    kv.multiput({**METRICS, "scalar": number, "text": 'a,b\n"c"'})
    assert shell.run("kv", "export", "-o", f"out.{form}").lines == [f"5 keys in out.{form}"]
    done = shell.run("kv", "import", f"out.{form}", "--store", "copy")
    assert done.lines == ["5 keys imported"]
    assert dict(kv.store("copy").items()) == dict(kv.items())


def test_json_lines_keep_every_value(shell: Shell, kv: LocalStore) -> None:
    import datetime as dt

    values = {
        "bytes": b"\0\xff",
        "time": dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
        "big": 2**100,
        "huge": 10**5000,
        "alike": [{"$bytes": "no base64"}, {"$$time": {"$npy": 1}}, {"$other": 1}],
        "none": None,
        "nested": {"key": 1, "b": [b"", {}]},
        "scalar": np.float32(0.5),
    }
    kv.multiput({**values, "array": np.arange(3, dtype="i2")})
    lines = shell.run("kv", "export").out
    assert shell.run("kv", "import", "-", "--store", "copy", stdin=lines).code == 0
    copy = kv.store("copy")
    assert {key: copy.get(key) for key in values} == values
    assert copy.get("array").dtype == np.int16
    assert type(copy.get("scalar")) is np.float32
    assert shell.run("kv", "get", "huge").lines == ["1" + "0" * 5000]


def test_an_export_for_the_original_metastore(shell: Shell, kv: LocalStore, tmp_path: Path) -> None:
    kv.multiput({"a": "x", "n": 5})
    assert shell.run("kv", "export", "--sdb").code == 2
    assert shell.run("kv", "export", "-o", "out.sdb").lines == ["2 keys in out.sdb"]
    connection = sqlite3.connect(tmp_path / "out.sdb")
    assert dict(connection.execute("SELECT k, v FROM metastore")) == {"a": "x", "n": "5"}
    connection.close()
    assert shell.run("kv", "import", "out.sdb", "--prefix", "old/").code == 0
    assert kv.get("old/n") == "5"
    kv.put("list", [1])
    before = (tmp_path / "out.sdb").read_bytes()
    for output in ("out.sdb", "out2.sdb"):
        done = shell.run("kv", "export", "-o", output)
        assert done.code == 2
        assert "'list'" in done.err
    kv.put("list", os.fsdecode(b"\xff"))
    done = shell.run("kv", "export", "-o", "out2.sdb")
    assert (done.code, "no lone surrogates" in done.err) == (2, True)
    assert (tmp_path / "out.sdb").read_bytes() == before
    assert not (tmp_path / "out2.sdb").exists()
    assert shell.run("kv", "export", "-o", "out.sdb", "--prefix", "a").code == 0
    assert (tmp_path / "out.sdb").read_bytes() != before


def test_a_dash_is_standard_output(shell: Shell, kv: LocalStore, tmp_path: Path) -> None:
    kv.put("a", 1)
    assert shell.run("kv", "export", "--csv", "-o", "-").lines == ["key,value", "a,1"]
    assert shell.run("kv", "export", "--sdb", "-o", "-").code == 2
    assert not (tmp_path / "-").exists()


def test_numbers_in_csv_are_numbers_unless_told_otherwise(shell: Shell, kv: LocalStore) -> None:
    table = b"key,value\na,5\nb,-0.5e3\nc,007\nd,\ne,1e5x\n"
    assert shell.run("kv", "import", "-", "--csv", stdin=table).code == 0
    assert dict(kv.items()) == {"a": 5, "b": -500.0, "c": "007", "d": None, "e": "1e5x"}
    assert shell.run("kv", "import", "-", "--csv", "--text", stdin=table).code == 0
    assert kv.get("a") == "5"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.jsonl", b'{"key": "a", "value": 1}\nnonsense\n'),
        ("x.jsonl", b'{"key": "a"}\n'),
        ("x.jsonl", b'{"key": 5, "value": 1}\n'),
        ("x.jsonl", b'["a", 1]\n'),
        ("x.csv", b"name,value\na,1\n"),
        ("x.csv", b"key,value\na,1,2\n"),
        ("x.parquet", b"PAR1 not really"),
    ],
)
def test_what_is_no_table_is_said_to_be_none(
    shell: Shell, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    done = shell.run("kv", "import", name)
    assert done.code == 2
    assert name in done.err
    assert "unexpected" not in done.err


def test_an_import_that_fails_says_what_is_imported(shell: Shell, kv: LocalStore) -> None:
    lines = [b'{"key": "%d", "value": 1}\n\n' % number for number in range(1500)]
    done = shell.run("kv", "import", "-", stdin=b"".join([*lines, b"nonsense\n"]))
    assert done.code == 2
    assert "line 3001 is no key and value" in done.err
    assert "the first 1000 keys are imported" in done.err
    assert len(kv) == 1000


def test_json_that_is_none_is_said_to_be_the_value(shell: Shell) -> None:
    done = shell.run("kv", "put", "key", "{", "--as", "json")
    assert done.code == 2
    assert "VALUE is no JSON: Expecting" in done.err
    for tag in ("$bytes", "$time", "$npy"):
        done = shell.run("kv", "put", "key", f'{{"{tag}": 5}}', "--as", "json")
        assert (done.code, "stands before text" in done.err) == (2, True)


def test_a_file_that_is_not_there_exits_with_3(shell: Shell) -> None:
    assert shell.run("kv", "import", "missing.csv").code == 3


def test_a_name_that_is_no_stores_exits_with_2(shell: Shell) -> None:
    done = shell.run("kv", "ls", "--store", "../x")
    assert done.code == 2
    assert "store's name" in done.err


def test_an_empty_export_has_a_heading(shell: Shell) -> None:
    assert shell.run("kv", "export", "--csv").lines == ["key,value"]
    assert shell.run("kv", "export").out == b""


def test_csv_is_read_as_any_program_reads_it(shell: Shell, kv: LocalStore, tmp_path: Path) -> None:
    kv.multiput({"a": {"text": 'x "y", z\n', "list": [1, {"b": None}], "yes": True}})
    shell.run("kv", "export", "-o", "t.csv")
    with open(tmp_path / "t.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["text"] == 'x "y", z\n'
    assert json.loads(row["list"]) == [1, {"b": None}]
    assert row["yes"] == "true"
