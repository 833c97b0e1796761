"""Promises of stager.transports.pipe, and of the transport that uses it."""

from __future__ import annotations

import errno
import os
import random
import socket
import ssl
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stager.errors import ConnectionFailedError
from stager.transports import pipe as module
from stager.transports.base import Ask
from stager.transports.http_requests import RequestsTransport
from stager.transports.pipe import PIPED, Pipe
from tests.support.origin import Origin, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stager.request import Progress
    from stager.transports.base import Head

BODY = random.Random(2).randbytes(PIPED + 300_000)


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection, the second without patience."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.settimeout(0.05)
    with far, near:
        yield far, near


class Kept:
    """A sink that keeps what it gets; `full_at` is where it has had enough."""

    def __init__(self, full_at: int = 1 << 40) -> None:
        self.body = b""
        self.piped = 0
        self.full_at = full_at

    def on_wait(self, progress: Progress) -> None:
        pass

    def on_head(self, head: Head) -> bool:
        return True

    def on_data(self, data: bytes | memoryview) -> None:
        self.body += data

    def on_pipe(self, pipe: int, size: int) -> None:
        if len(self.body) + size > self.full_at:
            raise FullError
        end = len(self.body) + size
        while len(self.body) < end:
            self.body += os.read(pipe, end - len(self.body))
        self.piped += size

    def on_wake(self) -> None:
        pass


class FullError(Exception):
    pass


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def fetch(url: str, sink: Kept) -> None:
    with closing(RequestsTransport()) as transport:
        transport.fetch(Ask(url), sink)


def test_bytes_go_from_the_connection_into_the_pipe(
    line: tuple[socket.socket, socket.socket],
) -> None:
    far, near = line
    pipe = Pipe.between(near, PIPED)
    assert pipe is not None
    with pipe:
        far.sendall(b"12345678")
        assert pipe.fill(5) == 5
        assert os.read(pipe.end, 100) == b"12345"
        assert pipe.fill(5) == 3
        assert os.read(pipe.end, 100) == b"678"
        with pytest.raises(TimeoutError):
            pipe.fill(5)
        far.shutdown(socket.SHUT_WR)
        assert pipe.fill(5) == 0


def test_a_connection_that_breaks_is_an_error(line: tuple[socket.socket, socket.socket]) -> None:
    far, near = line
    pipe = Pipe.between(near, PIPED)
    assert pipe is not None
    with pipe:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        with pytest.raises(ConnectionResetError):
            pipe.fill(5)


def test_small_and_encrypted_bodies_are_received(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, near = line
    assert Pipe.between(near, PIPED - 1) is None
    with ssl.create_default_context().wrap_socket(
        near.dup(), server_hostname="h", do_handshake_on_connect=False
    ) as encrypted:
        assert Pipe.between(encrypted, PIPED) is None
    monkeypatch.setattr(module, "SIZE", -1)
    before = descriptors()
    assert Pipe.between(near, PIPED) is None
    assert descriptors() == before


@pytest.mark.parametrize("size", [PIPED - 1, len(BODY)])
def test_a_large_body_comes_through_a_pipe(origin: Origin, size: int) -> None:
    sink = Kept()
    fetch(origin.add("/a", BODY[:size]), sink)
    assert sink.body == BODY[:size]
    assert (sink.piped > PIPED - 9000) is (size >= PIPED)  # what came with the head did not


def test_where_the_kernel_cannot_it_is_received(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EINVAL, "as in a sandbox")

    monkeypatch.setattr(os, "splice", refused)
    sink = Kept()
    fetch(origin.add("/a", BODY), sink)
    assert (sink.body, sink.piped) == (BODY, 0)


def test_what_the_sink_raises_comes_out_and_the_pipe_is_closed(
    origin: Origin, until: Callable[..., None]
) -> None:
    url = origin.add("/a", BODY)
    fetch(url, Kept())  # what is opened once and stays
    before = descriptors()
    with pytest.raises(FullError):
        fetch(url, Kept(full_at=500_000))
    # The server's end of the connection is this process's, too.
    until(lambda: descriptors() <= before, "everything to be closed")


def test_a_connection_that_breaks_within_a_large_body_is_typed(origin: Origin) -> None:
    with pytest.raises(ConnectionFailedError):
        fetch(origin.add("/a", Page(BODY, reset_at=1_200_000)), Kept())
