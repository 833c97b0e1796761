"""Promises of fscache.bridges.metastore: programs of the original go on as they were."""

from __future__ import annotations

import os
import pickle
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import xmlrpc.client
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fscache.bridges import metastore
from fscache.cache import Cache
from fscache.errors import ConfigError, ServerUnreachableError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metastore, "_store", None)
    monkeypatch.setenv("FSCACHE_ROOT", str(tmp_path / "default"))
    monkeypatch.chdir(tmp_path)


def original(path: str, rows: dict[str, object]) -> None:
    """Write a file as the original did."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE metastore (k varchar(255), v text, primary key(k));")
    for row in rows.items():
        connection.execute("REPLACE INTO metastore (k, v) VALUES (?, ?)", row)
    connection.commit()
    connection.close()


# -- local ------------------------------------------------------------------------------------


def test_the_readme_of_the_original(tmp_path: Path) -> None:
    metastore.get_store(str(tmp_path / "store.sdb"))
    assert metastore.put("foo", "bar") is None
    assert metastore.get("foo") == "bar"
    assert metastore.multiget(["foo"]) == {"foo": "bar"}


def test_without_a_path_it_is_the_store_of_the_default_cache(tmp_path: Path) -> None:
    metastore.put("foo", "bar")
    assert Cache(str(tmp_path / "default")).kv.get("foo") == "bar"


def test_get_store_keeps_its_first_path(tmp_path: Path) -> None:
    first = metastore.get_store(str(tmp_path / "a.sdb"))
    assert metastore.get_store(str(tmp_path / "b.sdb")) is first
    metastore.put("k", "v")
    assert metastore.LocalStore(str(tmp_path / "a.sdb")).get("k") == "v"
    assert not os.path.exists(tmp_path / "b.sdb")


def test_use_remote_after_a_store_is_a_runtime_error() -> None:
    metastore.put("k", "v")
    with pytest.raises(RuntimeError, match="already using a metastore"):
        metastore.use_remote("127.0.0.1", 1)


def test_use_remote_twice_is_a_runtime_error() -> None:
    metastore.use_remote("127.0.0.1", 1)
    with pytest.raises(RuntimeError):
        metastore.use_remote("127.0.0.1", 2)


def test_a_missing_key_is_a_bare_key_error(tmp_path: Path) -> None:
    store = metastore.LocalStore(str(tmp_path / "s"))
    store.put("there", "v")
    for call in (lambda: store.get("missing"), lambda: store.multiget(["there", "missing"])):
        with pytest.raises(KeyError) as caught:
            call()
        assert caught.value.args == ()


def test_put_of_a_store_returns_true(tmp_path: Path) -> None:
    assert metastore.LocalStore(tmp_path / "s").put("k", "v") is True


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ("text", "text"),
        ("", ""),
        (5, "5"),
        (-0.5, "-0.5"),
        (True, "1"),
        (None, None),
        (b"\0\xff", b"\0\xff"),
        ([1, {"a": None}], [1, {"a": None}]),
    ],
)
def test_values_come_back_as_from_a_column_of_text(
    tmp_path: Path, value: object, back: object
) -> None:
    store = metastore.LocalStore(tmp_path / "s")
    store.put("k", value)
    assert store.get("k") == back
    assert type(store.get("k")) is type(back)
    if not isinstance(value, list):
        original(str(tmp_path / "old.sdb"), {"k": value})
        assert metastore.LocalStore(tmp_path / "old.sdb").get("k") == back


def test_a_number_is_the_key_that_it_reads_as(tmp_path: Path) -> None:
    store = metastore.LocalStore(tmp_path / "s")
    store.put(1, "v")  # type: ignore[arg-type]
    assert store.get("1") == "v"
    with pytest.raises(TypeError):
        store.put(None, "v")  # type: ignore[arg-type]


# -- files of the original --------------------------------------------------------------------


def test_a_file_of_the_original_is_copied_once_and_left_as_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "old.sdb")
    original(path, {"a": "1", "ü": "text", "b": b"\0", "n": None})
    with open(path, "rb") as file:
        before = file.read()
    store = metastore.LocalStore(path)
    assert store.multiget(["a", "ü", "b", "n"]) == {"a": "1", "ü": "text", "b": b"\0", "n": None}
    store.put("a", "2")
    assert metastore.LocalStore(path).get("a") == "2"
    with open(path, "rb") as file:
        assert file.read() == before
    assert sorted(os.listdir(tmp_path)) == ["old.sdb", "old.sdb.fscache"]


def test_the_originals_default_file_is_found_in_the_working_directory(tmp_path: Path) -> None:
    original(f"{os.uname().nodename}.sdb", {"a": "old"})
    assert metastore.get("a") == "old"


def test_another_sqlite_file_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="not a file of the original metastore"):
        metastore.LocalStore(tmp_path / "other.db")
    assert os.listdir(tmp_path) == ["other.db"]


def test_a_path_without_a_name_is_refused_and_makes_no_cache_here(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        metastore.LocalStore("")
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(StoreError):
        metastore.LocalStore(tmp_path / "notes.txt").put("k", "v")


# -- server -----------------------------------------------------------------------------------


@contextmanager
def serving(path: str | None) -> Iterator[int]:
    server = metastore.MetaServer(datafile=path, port=0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        assert server.listening.wait(20)
        yield server.port
    finally:
        server.shutdown()
        thread.join(20)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with serving(str(tmp_path / "served.sdb")) as number:
        yield number


def test_a_remote_store_does_what_a_local_one_does(port: int) -> None:
    metastore.use_remote("127.0.0.1", port)
    metastore.put("foo", "bar")
    assert metastore.get("foo") == "bar"
    metastore.put("n", 0.25)
    assert metastore.multiget(["foo", "n"]) == {"foo": "bar", "n": "0.25"}
    store = metastore.RemoteStore("127.0.0.1", port)
    assert store.put("x", b"\0") is True
    assert store.get("x") == b"\0"


def test_a_store_can_be_pickled(port: int, tmp_path: Path) -> None:
    there = metastore.RemoteStore("localhost", port)
    for store in (there, metastore.LocalStore(tmp_path / "local")):
        store.put("k", "v")
        assert pickle.loads(pickle.dumps(store)).get("k") == "v"


def test_a_missing_key_on_a_server_is_a_fault_and_a_key_error(port: int) -> None:
    store = metastore.RemoteStore("127.0.0.1", port)
    calls: list[Callable[[], Any]] = [
        lambda: store.get("missing"),
        lambda: store.multiget(["missing"]),
    ]
    for kind in (xmlrpc.client.Fault, KeyError):
        for call in calls:
            with pytest.raises(kind):
                call()


def test_an_old_client_works_unchanged(port: int) -> None:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}") as client:
        assert client.put("foo", "bar") is True
        assert client.get("foo") == "bar"
        client.put("baz", "ü")
        assert client.multiget(["foo", "baz"]) == {"foo": "bar", "baz": "ü"}
        with pytest.raises(xmlrpc.client.Fault) as caught:
            client.get("missing")
        assert "KeyError" in caught.value.faultString
        with pytest.raises(xmlrpc.client.Fault):
            client.multiget(["foo", "missing"])


def test_what_a_server_keeps_is_there_without_it(tmp_path: Path) -> None:
    path = str(tmp_path / "served.sdb")
    with serving(path) as port:
        metastore.RemoteStore("127.0.0.1", port).put("k", "v")
    assert metastore.LocalStore(path).get("k") == "v"


def test_a_server_that_is_away_is_a_connection_error() -> None:
    store = metastore.RemoteStore("127.0.0.1", 1)
    store._server._rpc.client._patience = 0.0
    with pytest.raises(ConnectionError) as caught:
        store.get("k")
    assert isinstance(caught.value, ServerUnreachableError)


def test_the_server_of_the_command_line(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "fscache.bridges.metastore", str(tmp_path / "s.sdb"), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"Serving the metastore on port (\d+), use ctrl-c to quit\n", line)
        assert found, line
        metastore.RemoteStore("127.0.0.1", int(found[1])).put("k", "v")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert metastore.LocalStore(tmp_path / "s.sdb").get("k") == "v"


@pytest.mark.parametrize(
    "arguments", [["a", "1", "b"], ["--port", "1"], ["a", "b"], ["a", "65536"]]
)
def test_wrong_arguments_are_a_usage_error(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        metastore.main(arguments)
    assert caught.value.code == 2
    assert (
        "usage: python -m fscache.bridges.metastore [-h] [path] [port]" in capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == []


def test_help_serves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        metastore.main(["--help"])
    assert caught.value.code == 0
    assert "default: 8077" in capsys.readouterr().out
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_served_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "file").touch()
    with socket.create_server(("0.0.0.0", 0)) as busy:
        port = str(busy.getsockname()[1])
        for path, number, why in (("s", port, "in use"), ("else", "0", "else")):
            assert metastore.main([str(tmp_path / path), number]) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert said.startswith("python -m fscache.bridges.metastore: ")
            assert why in said
