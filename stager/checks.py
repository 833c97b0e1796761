"""Checksums: what the caller asks for, what the origin promises.

Pure. A checksum is `algorithm:hex`; bare hex is not guessed, because 64 digits are sha256, sha3_256
and blake2s alike. From the origin only what speaks of the whole body as served is taken, and what
does not parse is as if it had not been sent: a header nobody verified before must not turn a good
download into a failure.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import xxhash

from stager.errors import InvalidChecksumError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DIGEST = "xxh3_128"
"""What every body is hashed with; it names the object."""

_XX: dict[str, tuple[Callable[[], Hasher], int]] = {
    DIGEST: (xxhash.xxh3_128, 16),
    "xxh3_64": (xxhash.xxh3_64, 8),
}
_HEX = re.compile(r"[0-9a-f]+")
_HTTP_NAMES = {
    "xxh3-128": DIGEST,  # not registered; what our own server sends
    "md5": "md5",
    "sha": "sha1",
    "sha-1": "sha1",
    "sha-256": "sha256",
    "sha-384": "sha384",
    "sha-512": "sha512",
}
_HEADERS = (
    "Repr-Digest",
    "Digest",
    "Content-MD5",
    "x-goog-hash",
    "x-amz-checksum-sha256",
    "x-amz-checksum-sha1",
)
_BYTE_SEQUENCE = re.compile(r"([a-z0-9*_.-]+)=:([A-Za-z0-9+/=]*):", re.IGNORECASE)


class Hasher(Protocol):
    """What hashlib and xxhash have in common."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of the bytes so far."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A checksum somebody gave; `source` is `caller` or the name of the header."""

    algorithm: str
    expected: str
    source: str = "caller"

    @property
    def pair(self) -> tuple[str, str]:
        """Algorithm and hex digits."""
        return self.algorithm, self.expected


def hasher(algorithm: str) -> Hasher:
    """Return a fresh hasher.

    Raises:
        ValueError: no such algorithm here.
    """
    if algorithm in _XX:
        return _XX[algorithm][0]()
    return hashlib.new(algorithm, usedforsecurity=False)


def parse_checksum(text: str) -> Promise:
    """Read `algorithm:hex`.

    Raises:
        InvalidChecksumError: with the reason.
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"a checksum is text, not {type(text).__name__}: {text!r:.100}")
    algorithm, colon, digits = text.strip().lower().partition(":")
    if not colon:
        why = "write algorithm:hex, such as sha256:…; the algorithm is not guessed"
        raise InvalidChecksumError(text[:200], why)
    size = _size(algorithm)
    if size is None:
        raise InvalidChecksumError(text[:200], f"unknown algorithm {algorithm[:40]!r}")
    if not _HEX.fullmatch(digits):
        raise InvalidChecksumError(text[:200], "holds more than hex digits")
    if len(digits) != 2 * size:
        why = f"{algorithm} has {2 * size} hex digits, not {len(digits)}"
        raise InvalidChecksumError(text[:200], why)
    return Promise(algorithm, digits)


def promises(headers: Mapping[str, str], *, whole: bool) -> list[Promise]:
    """Return what the origin promises of the whole body.

    Args:
        headers: Of the answer, names in lower case.
        whole: False for a 206: only `Repr-Digest` then speaks of the whole; servers fill the
            others with the digest of either.
    """
    found: list[Promise] = []
    if (value := headers.get("repr-digest")) is not None:
        for name, encoded in _BYTE_SEQUENCE.findall(value):
            _add(found, _HTTP_NAMES.get(name.lower()), encoded, "Repr-Digest")
    if not whole:
        return found
    if (value := headers.get("digest")) is not None:
        _add_pairs(found, value, "Digest")
    if (value := headers.get("content-md5")) is not None:
        _add(found, "md5", value, "Content-MD5")
    # Google hashes what it stores; where it unpacks gzip on the way out, these are other bytes.
    if (value := headers.get("x-goog-hash")) is not None and headers.get(
        "x-goog-stored-content-encoding", "identity"
    ) in {"identity", headers.get("content-encoding")}:
        _add_pairs(found, value, "x-goog-hash")
    # S3's checksum of a multipart upload hashes the parts' hashes; its `-N` makes it unparsable.
    for algorithm in ("sha256", "sha1"):
        if (value := headers.get(f"x-amz-checksum-{algorithm}")) is not None:
            _add(found, algorithm, value, f"x-amz-checksum-{algorithm}")
    return found


def announced(headers: Mapping[str, str]) -> list[Promise]:
    """Return what the sender of a body says of it, in the headers of `promises`.

    A sender, unlike an origin, is there to be told that what it asked to be checked cannot be: an
    algorithm unknown here is passed over only beside one that is known.

    Raises:
        InvalidChecksumError: with the reason.
    """
    found = promises(headers, whole=True)
    for name in _HEADERS:
        value = headers.get(name.lower())
        if value is None:
            continue
        members = [member.strip().partition("=")[0].lower() for member in value.split(",")]
        known = sum(member in _HTTP_NAMES for member in members)
        if sum(promise.source == name for promise in found) < max(1, known):
            why = f"{name} is malformed, or of no algorithm known here"
            if name == "Repr-Digest":
                why += "; write sha-256=:BASE64:"
            raise InvalidChecksumError(value[:200], why)
    return found


def _add_pairs(found: list[Promise], value: str, source: str) -> None:
    for pair in value.split(","):
        name, _, encoded = pair.strip().partition("=")
        _add(found, _HTTP_NAMES.get(name.lower()), encoded, source)


def _add(found: list[Promise], algorithm: str | None, encoded: str, source: str) -> None:
    if algorithm is None:
        return
    try:
        raw = b64decode(encoded.strip(), validate=True)
    except (Base64Error, ValueError):
        return
    if len(raw) == _size(algorithm):
        found.append(Promise(algorithm, raw.hex(), source))


def _size(algorithm: str) -> int | None:
    """Return the digest's bytes; None for what is unknown or, as shake, has no size of its own."""
    if algorithm in _XX:
        return _XX[algorithm][1]
    if algorithm not in hashlib.algorithms_available:
        return None
    try:
        # OpenSSL lists legacy algorithms that it then refuses to make.
        return hashlib.new(algorithm, usedforsecurity=False).digest_size or None
    except ValueError:
        return None
