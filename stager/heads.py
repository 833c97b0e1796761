"""What an answer's head says: length, span, validator, error. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from stager.destination import Validator
from stager.errors import (
    AuthenticationError,
    BusyServerError,
    HTTPStatusError,
    NotFoundError,
)
from stager.retry import is_transient_status, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_SPAN = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)")
_WHY = {
    204: "the server has no body for it",
    401: "the server wants a credential",
    403: "the server refuses access",
    404: "the server does not have it",
    407: "a proxy wants a credential",
    408: "the server waited too long for us",
    410: "it is gone from the server",
    425: "the server is not ready",
    429: "the server says we ask too often",
    503: "the server is not available",
}
_REFUSED = {401: "the server does not accept", 403: "the server refuses access with"}
_WHY_CLASS = {4: "the server refuses", 5: "the server failed"}


class Bytes(NamedTuple):
    """A body follows, from byte `first` of `total` (None: not said)."""

    first: int
    total: int | None


class Moved(NamedTuple):
    """It is elsewhere."""

    location: str
    """As sent; may be empty."""


class Unmodified(NamedTuple):
    """It is still what the caller has."""


class StartOver(NamedTuple):
    """What is kept does not go together with what the server has."""


class Refused(NamedTuple):
    """There is no body to be had."""

    status: int


class Unframed(NamedTuple):
    """Where its body ends cannot be known: the length that is announced is none."""

    length: str


Answer = Bytes | Moved | Unmodified | StartOver | Refused | Unframed


class Span(NamedTuple):
    """A `Content-Range`: first byte, last byte, size of the whole (None: not said)."""

    first: int
    last: int
    total: int | None


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the announced bytes of this answer's body; None where it cannot be known.

    A `Transfer-Encoding` overrules the length (RFC 9112, 6.3); repeated equal lengths count as one.
    """
    value = headers.get("content-length")
    if value is None or "transfer-encoding" in headers:
        return None
    if "," in value:
        values = {one.strip() for one in value.split(",")}
        value = values.pop() if len(values) == 1 else ""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None


def content_range(headers: Mapping[str, str]) -> Span | None:
    """Return the span of a 206; None where it is missing or makes no sense."""
    match = _SPAN.fullmatch(headers.get("content-range", ""))
    if match is None:
        return None
    first, last, total = match.groups()
    span = Span(int(first), int(last), None if total is None else int(total))
    if span.first > span.last or (span.total is not None and span.last >= span.total):
        return None
    return span


def validator(headers: Mapping[str, str], total: int | None, source: str) -> Validator:
    """Return what the body begins with."""
    return Validator(headers.get("etag"), headers.get("last-modified"), total, source)


def same_resource(kept: Validator, headers: Mapping[str, str], total: int | None) -> bool:
    """Tell whether a 206 goes on with the resource whose first bytes are kept.

    `If-Range` asks the server just that; but servers exist that ignore it.
    """
    for old, new in (
        (kept.etag, headers.get("etag")),
        (kept.last_modified, headers.get("last-modified")),
        (kept.size, total),
    ):
        if old is not None and new is not None and old != new:
            return False
    return True


def judge(
    status: int,
    headers: Mapping[str, str],
    *,
    asked_from: int | None,
    kept: Validator | None,
    conditional: bool,
) -> Answer:
    """Say what an answer means.

    Args:
        status: Of the answer.
        headers: Of the answer, names in lower case.
        asked_from: The first byte of the `Range` asked for; None where the whole was asked for.
        kept: What the kept bytes began with.
        conditional: Whether "not modified" was an answer we could take.
    """
    if status in {200, 206}:
        length = content_length(headers)
        # A length that is none must not be passed over (RFC 9112, 6.3).
        if length is None and "content-length" in headers and "transfer-encoding" not in headers:
            return Unframed(headers["content-length"])
        if status == 200:
            return Bytes(0, length)
    if status == 206 and asked_from is not None and kept is not None:
        span = content_range(headers)
        if span is None or span.first != asked_from:
            return StartOver()
        if not same_resource(kept, headers, span.total):
            return StartOver()
        return Bytes(asked_from, kept.size if span.total is None else span.total)
    if status in REDIRECTS:
        return Moved(utf8(headers.get("location", "")))
    if status == 304 and conditional:
        return Unmodified()
    if status == 416 and asked_from is not None:
        return StartOver()
    return Refused(status)


def status_error(
    url: str, status: int, headers: Mapping[str, str], credential_from: str = ""
) -> HTTPStatusError:
    """Return the error that a status without a usable body stands for.

    Args:
        url: Redacted.
        status: Neither a success nor a redirect.
        headers: Names in lower case.
        credential_from: Where the credential that was sent came from; empty where none was.
    """
    why = _WHY.get(status, _WHY_CLASS.get(status // 100, "the answer makes no sense here"))
    if status in {404, 410}:
        return NotFoundError(url, status, why)
    if status in _REFUSED and credential_from:
        why = f"{_REFUSED[status]} the credential from {credential_from}"
        return AuthenticationError(url, status, why, credential_from)
    if status in {401, 403, 407}:
        return AuthenticationError(url, status, why)
    if is_transient_status(status):
        retry_after = parse_retry_after(headers.get("retry-after"), headers.get("date"))
        return BusyServerError(url, status, why, retry_after)
    return HTTPStatusError(url, status, why)


def utf8(value: str) -> str:
    """Return a header's text: transports hand bytes over as Latin-1, servers mean UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
