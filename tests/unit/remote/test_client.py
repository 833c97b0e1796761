"""What a client asks again, and what it does not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from fscache import errors
from fscache.remote.address import Address, parse
from fscache.remote.cache import RemoteCache
from fscache.remote.client import Client
from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def lookup(error: Exception) -> Callable[..., None]:
    """Stand for a name server, which no test can ask."""

    def fail(*_args: object, **_options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_NODATA])
def test_a_host_that_does_not_exist_is_not_waited_for(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lookup(socket.gaierror(number, "no such name")))
    pauses: list[float] = []
    client = Client(Address("nowhere", 1), sleep=pauses.append)
    with pytest.raises(errors.ServerUnreachableError, match="no such name"):
        client.call("GET", "/")
    assert pauses == []


def test_a_name_server_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    away = socket.gaierror(socket.EAI_AGAIN, "try again")
    monkeypatch.setattr(socket, "getaddrinfo", lookup(away))
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    client = Client(Address("head", 1), patience=3.0, clock=lambda: now[0], sleep=sleep)
    with pytest.raises(errors.ServerUnreachableError, match="try again"):
        client.call("GET", "/")
    assert now[0] > 2.0


@pytest.mark.parametrize("host", ["a..b", "a" * 100])
def test_what_is_no_name_of_a_host_is_said_to_be_none(host: str) -> None:
    with pytest.raises(errors.ServerUnreachableError, match="no name of a host"):
        Client(Address(host, 1)).call("GET", "/")


def test_a_hosts_name_travels_in_ascii_letters() -> None:
    assert parse("Bücher.example:1").host == "xn--bcher-kva.example"
    for text in ("b\u3002\u3002x:1", "x\udcff:1"):
        with pytest.raises(ValueError, match="no name of a host"):
            parse(text)


@pytest.mark.parametrize("token", ["use abc", "# Tokens\nuse abc\nadmin def", "abc\n", "a\r\nX: y"])
def test_more_than_a_token_is_an_error_before_anything_is_sent(tmp_path: Path, token: str) -> None:
    with pytest.raises(errors.ConfigError, match="white space") as caught:
        RemoteCache("127.0.0.1:1", token=token, root=tmp_path / "node")
    assert "abc" not in str(caught.value)


def test_a_token_may_have_any_letters(tmp_path: Path) -> None:
    token = "schlüssel-".ljust(20, "語")
    (tmp_path / "tokens").write_text(f"use {token}\n")
    (tmp_path / "tokens").chmod(0o600)
    with (
        serving(tmp_path / "root", token_file=str(tmp_path / "tokens")) as served,
        RemoteCache(served.address, token=token, root=tmp_path / "node") as node,
    ):
        node.kv.put("k", 1)
        assert node.kv.get("k") == 1
