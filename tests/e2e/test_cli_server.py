"""The commands on a node: with FSCACHE_SERVER they go where the same calls of the library go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Shell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Origin
    from tests.support.servers import Serving


@pytest.fixture
def node(served: Serving, tmp_path: Path) -> Shell:
    (tmp_path / "home").mkdir()
    return Shell(
        str(tmp_path / "home"),
        {
            "FSCACHE_SERVER": served.address,
            "FSCACHE_TOKEN": served.token(),
            "FSCACHE_ROOT": str(tmp_path / "node"),
        },
    )


def test_the_server_fetches_and_the_node_hands_out(
    node: Shell, served: Serving, origin: Origin
) -> None:
    url = origin.add("/a", b"abc")
    done = node.run("get", url)
    assert (done.code, done.err) == (0, f"fetched {url} (3 B)\n")
    (path,) = done.lines
    assert path.startswith(served.root)  # it is seen from here, too
    assert node.run("cat", url).out == b"abc"
    assert node.run("path", url).lines == [path]
    (seen,) = origin.seen("/a")
    assert "fscache" in seen.headers["user-agent"]
    assert node.run("forget", url).code == 0
    assert served.server.cache.lookup(url) is None


def test_what_is_put_on_a_node_is_found_on_the_server(
    node: Shell, served: Serving, tmp_path: Path
) -> None:
    body = os.urandom(100_000)
    (address,) = node.run("put", "-", stdin=body).lines
    assert served.server.cache.path(address).read_bytes() == body
    os.unlink(node.run("path", address).lines[0])
    assert node.run("cat", address).out == body


def test_with_a_root_of_its_own_a_command_asks_no_server(
    node: Shell, served: Serving, tmp_path: Path
) -> None:
    (address,) = node.run("--root", str(tmp_path / "own"), "put", "-", stdin=b"x").lines
    assert node.run("path", address).code == 3
    assert not (tmp_path / "served/objects" / address[:4]).exists()


def test_errors_of_the_server_are_errors_of_the_command(node: Shell, origin: Origin) -> None:
    assert node.run("get", origin.url("/nothing")).code == 3
    url = origin.add("/a", b"abc")
    denied = node.run("get", url, FSCACHE_TOKEN="wrong-token-of-some-length")
    assert denied.code == 8
    assert "it does not know the token that was sent" in denied.err
    assert "wrong-token" not in denied.err
    for command in (["get", url], ["kv", "get", "key"]):
        without = node.run(*command, FSCACHE_TOKEN="")
        assert without.code == 8
        assert "it wants a token; FSCACHE_TOKEN or FSCACHE_TOKEN_FILE gives one" in without.err


@pytest.mark.parametrize("command", [["get", "http://h/a"], ["put", "-"], ["kv", "get", "key"]])
def test_another_server_than_ours_is_none(node: Shell, origin: Origin, command: list[str]) -> None:
    other = origin.base.partition("://")[2]
    done = node.run(*command, FSCACHE_SERVER=other)
    assert (done.code, done.lines) == (4, [])
    assert done.err.startswith(f"fscache: error: server {other}: no answer of an fscache server (")
    assert "<" not in done.err


def test_a_server_that_is_not_there_is_an_error_of_the_network(node: Shell) -> None:
    done = node.run("kv", "get", "key", FSCACHE_SERVER="no-such-host.invalid:8077")
    assert done.code == 4
