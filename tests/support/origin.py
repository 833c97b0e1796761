"""A real HTTP origin on a free loopback port, scripted path by path, with a log of what it was asked.

    with Origin() as origin:
        url = origin.add("/a", Page(b"x" * 4096, cut_at=1000), Page(b"x" * 4096))
        ...
        assert [seen.headers.get("range") for seen in origin.seen("/a")] == [None, "bytes=1000-"]

Successive GETs of a path get its successive pages; the last one repeats. That one mechanism scripts
"drops the connection once", "503 twice", "changed in between" and the rest.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import ipaddress
import os
import socket
import struct
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.listening import Handler, Listening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

STEP = 64 << 10
MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT"


@dataclass
class Page:
    """One answer to a GET (or HEAD) of one path."""

    body: bytes = b""
    """The bytes; `file` instead serves a file without reading it into memory."""
    file: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added to the answer, or in place of one that would be sent by itself."""
    etag: str | None = ""
    """`""` derives a strong one from the body; None sends none."""
    last_modified: str | None = MODIFIED
    ranges: bool = True
    """Honour Range, If-Range, If-None-Match and If-Modified-Since."""
    announce: int | None = None
    """Content-Length to send instead of the true one."""
    announced: bool = True
    """False sends no Content-Length: the body ends with the connection."""
    chunked: bool = False
    cut_at: int | None = None
    """Close the connection after this many bytes of the answer's body."""
    reset_at: int | None = None
    """As `cut_at`, with a TCP reset."""
    stall_at: int | None = None
    """Go silent after this many bytes, until the origin is closed or `Origin.release` is set."""
    step: int = STEP
    """Bytes between two calls of `gate`."""
    gate: Callable[[], object] | None = None
    """Called before every step of the body, such as an Event's `wait`."""
    auth: str | None = None
    """The Authorization header without which the answer is 401."""


@dataclass(frozen=True)
class Seen:
    """One request the origin got. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]


def redirect(location: str, status: int = 302) -> Page:
    """Return a page that sends the client to `location`."""
    return Page(b"moved", status=status, headers={"Location": location}, etag=None)


def failing(status: int, **headers: str) -> Page:
    """Return a page with an error status; `Retry_After="1"` becomes `Retry-After: 1`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Page(b"<html>no</html>", status=status, headers=named, etag=None, last_modified=None)


class Origin(Listening):
    """The server; a context manager. `url("/a")` names a path of it."""

    def __init__(self, *, tls: bool = False, host: str = "127.0.0.1") -> None:
        self.requests: list[Seen] = []
        self.release = threading.Event()
        """Set it to let stalled answers go on; leaving the context sets it."""
        self.ca_file: str | None = None
        self._pages: dict[str, list[Page]] = {}
        self._changed = threading.Condition()
        self._folder = tempfile.TemporaryDirectory(prefix="origin-") if tls else None
        made = certificate(self._folder.name) if self._folder is not None else None
        if made is not None:
            self.ca_file = made[0]
        super().__init__(_Handler, host=host, certificate=made)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release.set()
        super().__exit__(kind, error, trace)
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, path: str, *pages: Page | bytes) -> str:
        """Script `path` and return its URL; bytes stand for a plain page."""
        made = [page if isinstance(page, Page) else Page(page) for page in pages]
        with self._changed:
            self._pages[path] = made
        return self.url(path)

    def url(self, path: str) -> str:
        """Return the URL of `path`."""
        return self.base + path

    def seen(self, path: str, method: str = "GET") -> list[Seen]:
        """Return the requests for `path` so far."""
        with self._changed:
            return [seen for seen in self.requests if (seen.path, seen.method) == (path, method)]

    def wait_seen(self, path: str, count: int = 1, timeout: float = 20) -> list[Seen]:
        """Wait until `path` was asked for `count` times and return those requests."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.seen(path)) >= count, timeout)
            assert done, f"{path}: {len(self.seen(path))} of {count} requests came"
            return self.seen(path)

    def _next_page(self, seen: Seen) -> Page | None:
        with self._changed:
            self.requests.append(seen)
            self._changed.notify_all()
            pages = self._pages.get(seen.path)
            if not pages:
                return None
            return pages.pop(0) if len(pages) > 1 and seen.method == "GET" else pages[0]


class _Handler(Handler):
    server_version = "Origin"

    def do_HEAD(self) -> None:  # noqa: N802 - as http.server calls it
        self.do_GET()

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        headers = {name.lower(): value for name, value in self.headers.items()}
        page = self.server.face._next_page(Seen(self.command, self.path, headers))
        if page is None:
            page = failing(404)
        elif page.auth is not None and headers.get("authorization") != page.auth:
            page = failing(401, WWW_Authenticate='Basic realm="x"')
        answer = _Answer(page, headers)
        self._send(page, answer, with_body=self.command == "GET")

    def _send(self, page: Page, answer: _Answer, *, with_body: bool) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not page.announced and not page.chunked:
            self.close_connection = True
        self.end_headers()
        if not with_body or answer.status == 304:
            return
        limits = (page.cut_at, page.reset_at, page.stall_at)
        stop = min((limit for limit in limits if limit is not None), default=answer.length)
        for piece in answer.pieces(min(stop, answer.length), page.step):
            if page.gate is not None:
                page.gate()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if page.chunked else piece)
        if page.stall_at is not None:
            self.server.face.release.wait()
            self.close_connection = True
        elif page.reset_at is not None:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())  # close() would wait for rfile and wfile
            self.close_connection = True
        elif page.cut_at is not None:
            self.close_connection = True
        elif page.chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif page.announce is not None and page.announce > answer.length:
            self.close_connection = True


class _Answer:
    """Status, headers and the span of the body that a request gets of a page."""

    def __init__(self, page: Page, asked: Mapping[str, str]) -> None:
        self._page = page
        size = os.path.getsize(page.file) if page.file else len(page.body)
        etag = page.etag
        if etag == "":
            etag = f'"{hashlib.md5(page.body).hexdigest()[:16] if not page.file else size}"'
        self.status, self._start, end = page.status, 0, size
        headers: dict[str, str] = {}
        if etag is not None:
            headers["ETag"] = etag
        if page.last_modified is not None:
            headers["Last-Modified"] = page.last_modified
        if page.ranges and page.status == 200:
            headers["Accept-Ranges"] = "bytes"
            if _is_unmodified(page, etag, asked):
                self.status = 304
            elif "range" in asked and asked.get("if-range", etag) in {etag, page.last_modified}:
                first, _, last = asked["range"].removeprefix("bytes=").partition("-")
                self._start, end = int(first), min(int(last or size - 1), size - 1) + 1
                if self._start >= size:
                    self.status, self._start, end = 416, 0, 0
                    headers["Content-Range"] = f"bytes */{size}"
                else:
                    self.status = 206
                    headers["Content-Range"] = f"bytes {self._start}-{end - 1}/{size}"
        self.length = end - self._start
        if page.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif page.announced and self.status != 304:
            headers["Content-Length"] = str(self.length if page.announce is None else page.announce)
        else:
            headers["Connection"] = "close" if self.status != 304 else "keep-alive"
        self.headers = {**headers, **page.headers}

    def pieces(self, length: int, step: int) -> Any:
        if self._page.file is None:
            body = memoryview(self._page.body)[self._start : self._start + length]
            for at in range(0, length, step):
                yield bytes(body[at : at + step])
            return
        with open(self._page.file, "rb") as file:
            file.seek(self._start)
            while length > 0 and (piece := file.read(min(step, length))):
                length -= len(piece)
                yield piece


def _is_unmodified(page: Page, etag: str | None, asked: Mapping[str, str]) -> bool:
    if "if-none-match" in asked:
        return etag is not None and asked["if-none-match"] == etag
    return page.last_modified is not None and (asked.get("if-modified-since") == page.last_modified)


def http_date(seconds: float) -> str:
    """Return a time of the Unix clock as HTTP writes it."""
    return email.utils.formatdate(seconds, usegmt=True)


def certificate(folder: str) -> tuple[str, str]:
    """Make a self-signed certificate for loopback; return the paths of it and of its key."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
        subprocess.run(
            [
                *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"],
                *["-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", cert],
            ],
            check=True,
            capture_output=True,
        )
        return cert, key
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    with open(cert, "wb") as file:
        file.write(made.public_bytes(serialization.Encoding.PEM))
    with open(key, "wb") as file:
        file.write(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return cert, key
