"""HTTP over real sockets: what a connection survives, and what ends it."""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fscache.server.connection import FilePart, Request, Response
from fscache.server.listener import SPARED, Listener, bind


def echo(request: Request) -> Response:
    return Response(200, request.head.method.encode() + b":" + request.body.read_all(1000))


@contextmanager
def listening(
    handler: Callable[[Request], Response] = echo, **options: object
) -> Iterator[Listener]:
    listener = Listener(bind("127.0.0.1", 0), handler, **options)  # type: ignore[arg-type]
    listener.start()
    try:
        yield listener
    finally:
        listener.stop(0.5)


def connect(listener: Listener) -> socket.socket:
    return socket.create_connection(listener.address, timeout=10)


def everything(sock: socket.socket) -> bytes:
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def talk(listener: Listener, data: bytes) -> bytes:
    """Send, say that nothing follows, and return all that came."""
    with closing(connect(listener)) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return everything(sock)


def refused(listener: Listener) -> bool:
    """Whether a new connection is told to come back."""
    with closing(connect(listener)) as sock:
        return everything(sock).startswith(b"HTTP/1.1 503")


GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def test_requests_sent_together_are_answered_in_order() -> None:
    post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
    with listening() as listener:
        answer = talk(listener, GET + post + GET)
    assert [part.rpartition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200")[1:]] == [
        b"GET:",
        b"POST:hi",
        b"GET:",
    ]


def test_a_request_may_come_byte_by_byte() -> None:
    with listening() as listener, closing(connect(listener)) as sock:
        for (
            byte
        ) in b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc":
            sock.sendall(bytes([byte]))
        assert everything(sock).endswith(b"POST:abc")


def test_a_chunked_body_is_put_together() -> None:
    body = b"3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with listening() as listener:
        answer = talk(listener, head + body + GET)
    assert b"POST:abc0123456789" in answer
    assert answer.endswith(b"GET:")


@pytest.mark.parametrize(
    "body", [b"g\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"\r\n", b" \r\n", b"f" * 16 + b"\r\n"]
)
def test_a_broken_chunk_ends_the_connection(body: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with listening() as listener:
        answer = talk(listener, head + body + GET)
    assert b"HTTP/1.1 200" not in answer


def test_a_refused_head_closes_so_that_nothing_is_smuggled_behind_it() -> None:
    with listening() as listener:
        answer = talk(
            listener,
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n" + GET,
        )
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Connection: close" in answer
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_beyond_the_limit_is_refused_unread() -> None:
    with listening() as listener:
        answer = talk(listener, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_head_beyond_the_limit_is_refused() -> None:
    with listening() as listener:
        answer = talk(listener, b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431")


def test_a_client_that_asks_first_is_told_to_continue() -> None:
    with listening() as listener, closing(connect(listener)) as sock:
        sock.sendall(
            b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert everything(sock).endswith(b"PUT:ok")


def test_head_announces_and_sends_nothing() -> None:
    with listening() as listener:
        answer = talk(listener, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"Content-Length: 5" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_file_is_sent_whole_or_in_part_and_closed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    opened = []

    def handler(_request: Request) -> Response:
        opened.append(os.open(tmp_path / "f", os.O_RDONLY))
        return Response(200, FilePart(opened[-1], 2, 5))

    with listening(handler) as listener:
        answer = talk(listener, GET + b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"\r\n\r\n23456HTTP/1.1" in answer
    for fd in opened:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


def test_a_client_that_stops_reading_a_file_is_dropped(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(64 << 20)

    def handler(_request: Request) -> Response:
        return Response(200, FilePart(os.open(tmp_path / "f", os.O_RDONLY), 0, 64 << 20))

    with listening(handler, stall=0.2) as listener, closing(connect(listener)) as sock:
        sock.sendall(GET)
        until(lambda: listener.accepted == 1 and listener.connections == 0, "the end")


def test_a_file_that_shrank_breaks_the_connection_instead_of_sending_less(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    def handler(_request: Request) -> Response:
        return Response(200, FilePart(os.open(tmp_path / "f", os.O_RDONLY), 0, 100))

    with listening(handler) as listener:
        answer = talk(listener, GET + GET)
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_silent_client_is_dropped_before_and_within_a_request() -> None:
    with listening(idle=0.1, stall=0.1) as listener:
        with closing(connect(listener)) as sock:
            assert everything(sock) == b""
        with closing(connect(listener)) as sock:
            sock.sendall(b"GET / HT")
            assert everything(sock) == b""


def test_a_handler_that_fails_answers_500_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(request: Request) -> Response:
        if request.head.path == "/bad":
            raise RuntimeError("secret detail")
        return echo(request)

    with listening(handler) as listener:
        answer = talk(listener, b"GET /bad HTTP/1.1\r\nHost: h\r\n\r\n")
        assert talk(listener, GET).startswith(b"HTTP/1.1 200")
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"secret" not in answer
    assert "secret detail" in caplog.text


def test_too_many_connections_are_told_to_come_back(until: Callable[..., None]) -> None:
    with listening(limit=2) as listener:
        first, second = connect(listener), connect(listener)
        until(lambda: listener.connections == 2)
        assert refused(listener)
        first.close()
        second.close()
        until(lambda: listener.connections == 0)
        assert talk(listener, GET).startswith(b"HTTP/1.1 200")


def test_where_it_is_full_the_connection_that_was_silent_longest_makes_room(
    until: Callable[..., None],
) -> None:
    now = [0.0]
    held = threading.Event()

    def handler(request: Request) -> Response:
        if request.head.path == "/held":
            held.wait(20)
        return echo(request)

    with (
        listening(handler, limit=3, clock=lambda: now[0]) as listener,
        closing(connect(listener)) as busy,
        closing(connect(listener)) as kept,
        closing(connect(listener)) as silent,
    ):
        busy.sendall(b"GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
        # Silent since 0, all of them: a connection counts from when its thread has begun.
        until(lambda: [guest.connection is None for guest in listener._open] == [False] * 3)
        until(lambda: [guest.silent_since() for guest in listener._open].count(None) == 1)
        now[0] = SPARED - 1
        assert refused(listener)
        kept.sendall(GET)
        assert kept.recv(4096).endswith(b"GET:")
        now[0] = SPARED
        with closing(connect(listener)) as next_one:
            next_one.sendall(GET)
            assert next_one.recv(4096).endswith(b"GET:")
            assert everything(silent) == b""
            assert refused(listener)  # the others have been silent for less
        kept.sendall(GET)
        assert kept.recv(4096).endswith(b"GET:")
        held.set()
        assert busy.recv(4096).endswith(b"GET:")


def test_who_says_nothing_to_a_tls_port_has_a_place_too(until: Callable[..., None]) -> None:
    with (
        listening(limit=1, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as listener,
        closing(connect(listener)),
    ):
        until(lambda: listener.connections == 1)
        with closing(connect(listener)) as second:
            assert everything(second) == b""


def test_stop_lets_the_request_under_way_end_and_drops_idle_connections() -> None:
    entered, leave = threading.Event(), threading.Event()

    def handler(request: Request) -> Response:
        entered.set()
        leave.wait(10)
        return echo(request)

    listener = Listener(bind("127.0.0.1", 0), handler)
    listener.start()
    with closing(connect(listener)) as idle, closing(connect(listener)) as busy:
        busy.sendall(GET)
        assert entered.wait(10)
        stopper = threading.Thread(target=listener.stop, args=(10,))
        stopper.start()
        assert everything(idle) == b""
        leave.set()
        assert everything(busy).endswith(b"GET:")
        stopper.join()


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_a_port_that_does_not_exist_is_refused_not_taken_for_another(port: int) -> None:
    with pytest.raises(OSError, match=f"port {port} does not exist"):
        bind("127.0.0.1", port).close()
