"""Promises of stager.transports.translate."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

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
