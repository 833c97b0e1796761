"""Promises of stager.transports.translate."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
import requests
from urllib3.exceptions import ProtocolError

from stager.errors import ConnectionFailedError, StalledError
from stager.transports.translate import broken, stalled, unreachable

URL = "http://me:s3cret@h/a?token=s3cret"


def chained(bottom: Exception) -> Exception:
    """As requests wraps urllib3 wraps a socket's error."""
    reason = RuntimeError(f"url: {URL}")
    reason.reason = bottom  # type: ignore[attr-defined]
    return RuntimeError(reason)


@pytest.mark.parametrize(
    ("bottom", "why", "lasting"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "Connection refused", False),
        (ConnectionResetError(errno.ECONNRESET, "x"), "Connection reset by peer", False),
        (socket.gaierror(socket.EAI_NONAME, "x"), "there is no host of that name", True),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the name server gives no answer", False),
        (ssl.SSLError(1, "[SSL: X] x"), "TLS failed: SSLError", False),
        (TimeoutError("x"), "no answer in time", False),
        (EOFError(), "the connection broke (RuntimeError)", False),
    ],
)
def test_the_reason_is_the_one_at_the_bottom(bottom: Exception, why: str, lasting: bool) -> None:
    error = broken(URL, chained(bottom))
    assert type(error) is ConnectionFailedError
    assert (error.why, error.lasting) == (why, lasting)


@pytest.mark.parametrize(
    ("bottom", "why"),
    [
        (http.client.BadStatusLine("SSH-2.0"), "the answer is no HTTP"),
        (http.client.RemoteDisconnected("x"), "the connection broke before an answer"),
        (http.client.LineTooLong("header line"), "the head of the answer is too long"),
        (http.client.HTTPException("got more than 100 headers"), "the head of the answer"),
        (http.client.IncompleteRead(b"x", 5), "the connection broke within the body"),
    ],
)
def test_what_is_no_answer_says_so_behind_what_requests_makes_of_it(
    bottom: Exception, why: str
) -> None:
    wrapped = requests.exceptions.ConnectionError(ProtocolError("Connection aborted.", bottom))
    assert why in broken(URL, wrapped).why


def test_a_certificate_that_is_not_accepted_says_why() -> None:
    bottom = ssl.SSLCertVerificationError(1, "x")
    for code, why in ((10, "expired"), (18, "ca_file"), (62, "another host's"), (99, "99")):
        bottom.verify_code = code
        error = broken(URL, chained(bottom))
        assert why in error.why
        assert error.lasting


def test_exceptions_that_point_at_each_other_end() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert "RuntimeError" in broken(URL, one).why


def test_no_error_shows_a_secret() -> None:
    for error in (broken(URL, chained(EOFError())), stalled(URL, 1.0), unreachable(URL, 1.0)):
        assert "s3cret" not in str(error) + repr(error)
    assert isinstance(stalled(URL, 1.0), StalledError)
