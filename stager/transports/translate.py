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
    root = _root(error)
    lasting = isinstance(root, ssl.SSLCertVerificationError) or (
        # Not EAI_AGAIN, which a name server out of reach gives.
        isinstance(root, socket.gaierror) and root.errno in {socket.EAI_NONAME, socket.EAI_NODATA}
    )
    return ConnectionFailedError(redact(url), _why(root), lasting)


def _root(error: BaseException) -> BaseException:
    """Return what lies at the bottom of a library's exceptions: the last OSError, if any."""
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
    return best


def _why(best: BaseException) -> str:
    """Return the reason in a few words."""
    if isinstance(best, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {best.verify_message}"
    if isinstance(best, ssl.SSLError):
        return f"TLS failed: {getattr(best, 'reason', None) or type(best).__name__}"
    if isinstance(best, socket.gaierror):
        if best.errno == socket.EAI_AGAIN:
            return "the name server gives no answer"
        return "there is no host of that name"
    if isinstance(best, OSError) and best.errno:
        return os.strerror(best.errno)
    if isinstance(best, TimeoutError):
        return "no answer in time"
    return f"the connection broke ({type(best).__name__})"
