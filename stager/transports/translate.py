"""From the errors of sockets to ours, once for all transports.

What comes out holds a redacted URL and a reason made from codes, never a library's own text or the
exception itself: those carry the URL with its query, and requests' carries the Authorization header.
"""

from __future__ import annotations

import os
import socket
import ssl

from stager.errors import ConnectionFailedError, StalledError
from stager.urls import redact


def stalled(url: str, seconds: float) -> StalledError:
    """Return the error for silence on an open connection."""
    return StalledError(redact(url), f"no bytes for {seconds:g} s")


def unreachable(url: str, seconds: float) -> ConnectionFailedError:
    """Return the error for a connection that was not made in time."""
    return ConnectionFailedError(redact(url), f"no connection within {seconds:g} s")


def broken(url: str, error: BaseException) -> ConnectionFailedError:
    """Return the error for anything else that ended a connection."""
    return ConnectionFailedError(redact(url), why(error))


def why(error: BaseException) -> str:
    """Return the reason at the bottom of a chain of exceptions, in a few words."""
    reason: BaseException | None = error
    seen: set[int] = set()
    best = error
    while reason is not None and id(reason) not in seen:
        seen.add(id(reason))
        if isinstance(reason, OSError):
            best = reason
        inner = getattr(reason, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((one for one in reason.args if isinstance(one, BaseException)), None)
        reason = inner or reason.__cause__ or reason.__context__
    if isinstance(best, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {best.verify_message}"
    if isinstance(best, ssl.SSLError):
        return f"TLS failed: {best.reason or type(best).__name__}"
    if isinstance(best, socket.gaierror):
        return "there is no host of that name"
    if isinstance(best, OSError) and best.errno:
        return os.strerror(best.errno)
    if isinstance(best, TimeoutError):
        return "no answer in time"
    return f"the connection broke ({type(best).__name__})"
