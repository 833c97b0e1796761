"""What can go wrong while a URL's bytes are brought in: the `StageError` branch of the tree.

`fscache.errors` draws the whole tree and is where programs import from. URLs in fields are redacted
(no user information) before they get here.
"""

from __future__ import annotations

from dataclasses import dataclass

from credentials.errors import FscacheError


@dataclass(eq=False)
class InvalidURLError(FscacheError, ValueError):
    """The URL cannot be asked for at all: control characters, too long, no host, unknown scheme."""

    code = "invalid-url"
    message = "not a usable URL ({why}): {url}"

    url: str
    why: str


@dataclass(eq=False)
class InvalidChecksumError(FscacheError, ValueError):
    """A checksum that is not `algorithm:hex` of a known algorithm and the right length."""

    code = "invalid-checksum"
    message = "not a checksum ({why}): {text}"

    text: str
    why: str


@dataclass(eq=False)
class StageError(FscacheError):
    """The URL was not brought in."""

    code = "stage"
    message = "{url}: not staged"
    relayed = False
    """Set on what another stager has tried often enough: it is final here."""

    url: str


@dataclass(eq=False)
class HTTPStatusError(StageError):
    """The server answered with a status that is no success.

    Other schemes than HTTP have none: `status` is then the one that says as much, and is not shown.
    """

    code = "http-status"
    message = "{url}: {why}"

    status: int
    why: str

    def __str__(self) -> str:
        shown = f" (status {self.status})" if self.url.startswith("http") else ""
        return f"{super().__str__()}{shown}"


@dataclass(eq=False)
class NotFoundError(HTTPStatusError):
    """404 or 410, or `file:`/`ftp:` without such a file."""

    code = "not-found"


@dataclass(eq=False)
class AuthenticationError(HTTPStatusError):
    """401, 403 or 407: no credential, or not one the server accepts.

    `credential_from` is where the one came from that was sent; empty where none was.
    """

    code = "authentication"

    credential_from: str = ""


@dataclass(eq=False)
class BusyServerError(HTTPStatusError):
    """429 or 5xx, still so after the retries; `retry_after` is what the server asked for, in s."""

    code = "busy-server"

    retry_after: float | None = None


@dataclass(eq=False)
class ConnectionFailedError(StageError):
    """No connection, no name, no TLS, or it broke, still so after the retries."""

    code = "connection"
    message = "{url}: {why}"

    why: str
    lasting: bool = False
    """Whether trying again is pointless: there is no such host, its certificate is not accepted."""


@dataclass(eq=False)
class StalledError(ConnectionFailedError):
    """The connection stayed open and no bytes came for the stall timeout."""

    code = "stalled"


@dataclass(eq=False)
class CAFileError(ConnectionFailedError):
    """The file with the certificates to trust cannot be read, or has none in it."""

    code = "ca-file"


@dataclass(eq=False)
class LengthError(StageError):
    """The body is shorter or longer than the server announced."""

    code = "length"
    message = "{url}: {received} bytes came where {announced} were announced"

    announced: int
    received: int


@dataclass(eq=False)
class ChecksumError(StageError):
    """The bytes are not those asked for; `source` is `caller` or the header that promised them."""

    code = "checksum"
    message = "{url}: {algorithm} is {actual}, not {expected}"

    algorithm: str
    expected: str
    actual: str
    source: str = "caller"

    def __str__(self) -> str:
        whose = "as asked for" if self.source == "caller" else f"as {self.source} promised"
        return f"{super().__str__()} {whose}"


@dataclass(eq=False)
class RedirectError(StageError):
    """Too many redirects, one without a target, or one from https to http."""

    code = "redirect"
    message = "{url}: {why}"

    why: str


@dataclass(eq=False)
class TargetRefusedError(StageError):
    """The policy does not allow this target (scheme, host or address)."""

    code = "target-refused"
    message = "{url}: {why}"

    why: str


@dataclass(eq=False)
class DestinationError(StageError):
    """The bytes came, and could not be written to or read back from where they go."""

    code = "destination"
    message = "{url}: {why}"

    why: str


@dataclass(eq=False)
class AllMirrorsFailedError(StageError):
    """No mirror had it; `causes` holds one error for each, in the order they were tried."""

    code = "all-mirrors-failed"
    message = "all mirrors failed: {causes}"

    causes: tuple[FscacheError, ...]

    def __str__(self) -> str:
        # As their messages, which name their URLs; a tuple would show their reprs.
        return self.message.format(causes="; ".join(map(str, self.causes)))


@dataclass(eq=False)
class NoSpaceError(StageError):
    """There is no room. `fits_ever` tells "try later" (true) from "never fits" (false).

    `free` are the bytes that could be had, or are allowed. `why` tells the numbers that help: where a
    quota is full, the free bytes of the file system would mislead.
    """

    code = "no-space"
    message = "{url}: {why}"

    why: str
    needed: int
    free: int
    fits_ever: bool = True
