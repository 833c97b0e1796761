import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.server.head import BadRequestError, parse


def head(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def test_a_plain_request_is_taken_apart() -> None:
    found = parse(head("GET /a%20b/c?x=1&y HTTP/1.1", "Host: h", "X-One:  1 ", "x-one: 2"))
    assert (found.method, found.path, found.query) == ("GET", "/a%20b/c", "x=1&y")
    assert found.headers == {"host": "h", "x-one": "1, 2"}
    assert found.length == 0
    assert found.keep_alive


def test_an_absolute_target_is_its_path() -> None:
    assert parse(head("GET http://h:1/a?b HTTP/1.1", "Host: h")).path == "/a"
    assert parse(head("GET http://h HTTP/1.1", "Host: h")).path == "/"


@pytest.mark.parametrize(
    ("line", "connection", "kept"),
    [
        ("HTTP/1.1", "", True),
        ("HTTP/1.1", "close", False),
        ("HTTP/1.1", "Keep-Alive, Close", False),
        ("HTTP/1.0", "", False),
        ("HTTP/1.0", "keep-alive", True),
    ],
)
def test_connections_are_kept_as_the_version_says(line: str, connection: str, kept: bool) -> None:
    extra = [f"Connection: {connection}"] if connection else []
    assert parse(head(f"GET / {line}", "Host: h", *extra)).keep_alive is kept


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["GET / HTTP/1.1"], 400),  # no host
        (["GET / HTTP/2.0", "Host: h"], 400),
        (["GET  / HTTP/1.1", "Host: h"], 400),
        (["get / HTTP/1.1", "Host: h"], 400),
        (["BREW / HTTP/1.1", "Host: h"], 501),
        (["GET a HTTP/1.1", "Host: h"], 400),
        (["GET /a b HTTP/1.1", "Host: h"], 400),
        (["GET / HTTP/1.1", "Host: h", "Host: i"], 400),
        (["GET / HTTP/1.1", "Host: h", "Folded: a", " b"], 400),
        (["GET / HTTP/1.1", "Host : h"], 400),
        (["GET / HTTP/1.1", "Host: h", "X: a\nY: b"], 400),
        (["GET / HTTP/1.1", "Host: h", "X: a\rb"], 400),
        (["GET / HTTP/1.1", "Host: h", "X: a\0"], 400),
        (["POST / HTTP/1.1", "Host: h", "Content-Length: 1", "Content-Length: 1"], 400),
        (["POST / HTTP/1.1", "Host: h", "Content-Length: 1, 1"], 400),
        (["POST / HTTP/1.1", "Host: h", "Content-Length: +1"], 400),
        (["POST / HTTP/1.1", "Host: h", "Content-Length: 0x1"], 400),
        (["POST / HTTP/1.1", "Host: h", "Content-Length: ²"], 400),
        (["POST / HTTP/1.1", "Host: h", "Content-Length: " + "9" * 30], 400),
        (
            ["POST / HTTP/1.1", "Host: h", "Content-Length: 1", "Transfer-Encoding: chunked"],
            400,
        ),
        (["POST / HTTP/1.1", "Host: h", "Transfer-Encoding: gzip, chunked"], 501),
        (["POST / HTTP/1.1", "Host: h", "Transfer-Encoding: xchunked"], 501),
        (["POST / HTTP/1.0", "Transfer-Encoding: chunked"], 501),
    ],
)
def test_what_two_servers_could_read_in_two_ways_is_refused(lines: list[str], status: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse(head(*lines))
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_parse_or_be_refused(data: bytes) -> None:
    try:
        parse(data + b"\r\n\r\n")
    except BadRequestError:
        pass
