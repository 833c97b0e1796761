"""From the errors of sockets to ours, once for all transports.

What comes out holds a redacted URL and a reason made from codes, never a library's own text or the
exception itself: those carry the URL with its query, and requests' carries the Authorization header.
"""

from __future__ import annotations

import os
import re
import socket
import ssl

from stager.errors import (
    AuthenticationError,
    BusyServerError,
    CAFileError,
    ConnectionFailedError,
    HTTPStatusError,
    StageError,
    StalledError,
)
from stager.retry import is_transient_status
from stager.urls import redact

NO_TLS = "the answer is no TLS: is it a server for http: URLs?"
_NO_TLS = "WRONG_VERSION_NUMBER"

_UNKNOWN = "signed by nobody who is trusted here (a site's own authority: the setting ca_file)"
_NAMED_BY = "as the setting ca_file has it, or SSL_CERT_FILE"
_DISTRUST = {
    9: "it is not valid yet",
    10: "it has expired",
    **dict.fromkeys((18, 19, 20, 21), _UNKNOWN),
    **dict.fromkeys((0, 1, 62, 64), "it is another host's"),
}
"""OpenSSL's X509_V_ERR_…; libcurl looks for the host itself, first, and leaves 1 (or 0)."""

NO_HTTP = "the answer is no HTTP"
NO_ANSWER = "the connection broke before an answer"
CUT_OFF = "the connection broke within the body"
_TOO_LONG = "the head of the answer is too long"
_BROKEN = {
    "BadStatusLine": NO_HTTP,
    "HTTPException": _TOO_LONG,
    "IncompleteRead": CUT_OFF,
    "LineTooLong": _TOO_LONG,
    "RemoteDisconnected": NO_ANSWER,
}
"""http.client's errors, by name: importing it costs what a process that has libcurl need not pay."""

_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")
"""As http.client words it, since Python 2.6: the status is nowhere else."""


def stalled(url: str, seconds: float) -> StalledError:
    """Return the error for silence on an open connection."""
    return StalledError(redact(url), f"no bytes for {seconds:g} s")


def unreachable(url: str, seconds: float, *, by: str = "") -> ConnectionFailedError:
    """Return the error for a connection that was not made in time; `by` goes before the reason."""
    return ConnectionFailedError(redact(url), f"{by}no connection within {seconds:g} s")


def untrusting(url: str, ca_file: str | None) -> CAFileError | None:
    """Return the error for certificates of the site that cannot be used; None where they can."""
    if ca_file is None or not url.startswith("https:"):
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except OSError as error:
        no_pem = isinstance(error, ssl.SSLError) or not error.errno
        reason = "no certificates in it" if no_pem else os.strerror(error.errno or 0)
        why = f"the certificates to trust cannot be read: {ca_file}: {reason} ({_NAMED_BY})"
        return CAFileError(redact(url), why, lasting=True)
    return None


def distrusted(code: int) -> str:
    """Return the reason for a certificate that OpenSSL refuses with `code`."""
    return f"its certificate is not accepted: {_DISTRUST.get(code) or f'OpenSSL says {code}'}"


def through(proxy: str) -> str:
    """Return what goes before the reason why a proxy was not reached."""
    return f"no way through the proxy {proxy}: "


def no_way_through(url: str, proxy: str, error: BaseException) -> StageError:
    """Return the error for a proxy that was not reached, or does not connect us.

    Args:
        url: What was asked for.
        proxy: The proxy's URL, without user information.
        error: The library's.
    """
    root = _root(error)
    refused = _REFUSED_TUNNEL.search(str(root))
    if refused is not None:
        return refused_tunnel(url, proxy, int(refused[1]))
    return broken(url, error, by=through(proxy))


def refused_tunnel(url: str, proxy: str, status: int) -> HTTPStatusError:
    """Return the error for the status of a CONNECT that was not done."""
    shown = redact(url)
    if status == 407:
        return AuthenticationError(shown, status, f"the proxy {proxy} wants a credential")
    why = f"the proxy {proxy} does not connect to the server"
    if is_transient_status(status):
        return BusyServerError(shown, status, why)
    return HTTPStatusError(shown, status, why)


def broken(url: str, error: BaseException, *, by: str = "") -> ConnectionFailedError:
    """Return the error for anything else that ended a connection; `by` goes before the reason."""
    root = _root(error)
    lasting = (
        isinstance(root, ssl.SSLCertVerificationError)
        or _is_no_tls(root)
        # Not EAI_AGAIN, which a name server out of reach gives.
        or (
            isinstance(root, socket.gaierror)
            and root.errno in {socket.EAI_NONAME, socket.EAI_NODATA}
        )
    )
    return ConnectionFailedError(redact(url), by + _why(root), lasting)


def _root(error: BaseException) -> BaseException:
    """Return what lies at the bottom: the last error of a socket, or of http.client, if any."""
    reason: BaseException | None = error
    seen: set[int] = set()
    best = error
    while reason is not None and id(reason) not in seen:
        seen.add(id(reason))
        # All exceptions of requests are OSErrors, too, and say nothing of what lies below them.
        if isinstance(reason, OSError) or type(reason).__name__ in _BROKEN:
            best = reason
        inner = getattr(reason, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((one for one in reason.args if isinstance(one, BaseException)), None)
        reason = inner or reason.__cause__ or reason.__context__
    return best


def _is_no_tls(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and getattr(error, "reason", None) == _NO_TLS


def _why(best: BaseException) -> str:
    """Return the reason in a few words."""
    if isinstance(best, ssl.SSLCertVerificationError):
        return distrusted(best.verify_code)
    if isinstance(best, ssl.SSLError):
        if _is_no_tls(best):
            return NO_TLS
        return f"TLS failed: {getattr(best, 'reason', None) or type(best).__name__}"
    if isinstance(best, socket.gaierror):
        if best.errno == socket.EAI_AGAIN:
            return "the name server gives no answer"
        return "there is no host of that name"
    if isinstance(best, OSError) and best.errno:
        return os.strerror(best.errno)
    if isinstance(best, TimeoutError):
        return "no answer in time"
    kind = type(best).__name__
    return _BROKEN.get(kind) or f"the connection broke ({kind})"
