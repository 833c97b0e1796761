"""The head of an HTTP/1.x request, taken apart. Pure.

Strict where lenient servers get smuggled into: one spelling of a line end, no folded lines, no space
before a colon, at most one Content-Length, never together with Transfer-Encoding. What is refused
here closes the connection, because nobody can say where the next request begins.

http.server parses headers through the email package and reaches half the rate (docs/server.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 32 * 1024
"""Bytes of request line and headers together."""

_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"})
_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) ([!-~]{1,8300}) HTTP/1\.([01])\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_ALONE = frozenset({"content-length", "host", "transfer-encoding", "authorization", "range"})
_MAX_LENGTH_DIGITS = 18
_LONGEST_KEPT = 1024  # bytes of headers that are worth remembering


class BadRequestError(Exception):
    """The request cannot be served; `status` is the answer and the connection is closed after it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(slots=True)
class Head:
    """What came before the body."""

    method: str
    path: str
    """Still percent-encoded, without the query; begins with `/`."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case; repeated ones joined by `, `."""
    length: int | None
    """Of the body, in bytes; None for a chunked one."""
    keep_alive: bool

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a `100 Continue` before it sends its body."""
        return self.headers.get("expect", "").lower() == "100-continue"


def parse(data: bytes) -> Head:
    """Take a head apart.

    Args:
        data: Request line and headers, up to and with the empty line.

    Raises:
        BadRequestError: it is not one, or asks for what no client of this server needs.
    """
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise BadRequestError(400, "the request line cannot be read")
    method, target, minor = line.groups()
    if method not in _METHODS:
        raise BadRequestError(501, "this method is not served")
    block = data[line.end() :]
    read = _read_fields if len(block) <= _LONGEST_KEPT else _read_fields.__wrapped__
    headers, length, keep_alive = read(block, persistent=minor == b"1")
    path, query = _target(target.decode("ascii"))
    return Head(method.decode("ascii"), path, query, headers, length, keep_alive)


# A client sends the same headers with every request: to find them again takes 1 µs, to read them 13.
@lru_cache(maxsize=512)
def _read_fields(block: bytes, *, persistent: bool) -> tuple[Mapping[str, str], int | None, bool]:
    """Return the headers up to an empty line, the length that they announce, and whether to keep."""
    fields = _FIELDS.match(block)
    if fields is None or fields.end() != len(block) - 2:
        raise BadRequestError(400, "the headers cannot be read")
    headers: dict[str, str] = {}
    for field in block[: fields.end()].decode("latin-1").split("\r\n")[:-1]:
        raw_name, _, value = field.partition(":")
        name = raw_name.lower()
        value = value.strip(" \t")
        if name in headers:
            if name in _ALONE:
                raise BadRequestError(400, f"more than one {name}")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    if persistent and "host" not in headers:
        raise BadRequestError(400, "no host")
    return (
        MappingProxyType(headers),  # shared by requests
        _length(headers, persistent=persistent),
        _keep_alive(headers.get("connection"), persistent=persistent),
    )


def _target(target: str) -> tuple[str, str]:
    if not target.startswith("/"):
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            raise BadRequestError(400, "the request target is no path")
        target = target[absolute.end() :] or "/"
        if not target.startswith("/"):
            target = f"/{target}"
    path, _, query = target.partition("?")
    return path, query


def _length(headers: dict[str, str], *, persistent: bool) -> int | None:
    coding = headers.get("transfer-encoding")
    text = headers.get("content-length")
    if coding is not None:
        if text is not None:
            raise BadRequestError(400, "both Content-Length and Transfer-Encoding")
        if not persistent or coding.lower() != "chunked":
            raise BadRequestError(501, "this Transfer-Encoding is not served")
        return None
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_LENGTH_DIGITS:
        raise BadRequestError(400, "Content-Length is no number")
    return int(text)


def _keep_alive(connection: str | None, *, persistent: bool) -> bool:
    if connection is None:
        return persistent
    options = {option.strip() for option in connection.lower().split(",")}
    return "close" not in options and (persistent or "keep-alive" in options)
