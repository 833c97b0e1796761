"""Requests as files: what survives a restart, and how a node without a network path asks.

    spool/tmp/   written here first        spool/cur/     accepted, under way
    spool/new/   dropped by nodes          spool/done/    ended well       spool/failed/  ended otherwise

One small JSON file per accepted batch of requests: {"urls": [[url, mirror…], …], "options": {…},
"by": …, "asked": …}. Its name is the batch's id. A node drops its file into `new` under a name of its
choosing and finds the answer under that name in `done` or `failed`: the same, with "requests".

Nothing that a node writes is believed: names are checked, links are not followed, only plain files of
a bounded size are read, and what is accepted is this server's own copy, which nobody else can change.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fscache.fs import atomic
from fscache.records.root import translated

if TYPE_CHECKING:
    from fscache.records.root import Root

MAX_FILE = 4 * 1024 * 1024
"""Bytes of one request file."""
KEEP = 86400.0
"""How long an ended request's file stays, in seconds."""

NEW, CUR, DONE, FAILED, TMP = "new", "cur", "done", "failed", "tmp"
_NAME = re.compile(r"[A-Za-z0-9_-]{8,64}")
_STICKY_GROUP = 0o3000


@dataclass(slots=True)
class Asked:
    """One batch of requests, as it was asked for."""

    urls: list[list[str]]
    """Each a URL and its mirrors."""
    options: dict[str, Any] = field(default_factory=dict)
    by: str = ""
    asked: float = 0.0
    dropped: bool = False
    """Whether it came as a file, so that the answer must become one."""


class BadSpoolFileError(Exception):
    """A file that is no request; the message says why."""


def valid_name(name: str) -> bool:
    """Whether a name may be a batch's id, and so part of a path."""
    return _NAME.fullmatch(name) is not None


def encode(asked: Asked, requests: list[dict[str, Any]] | None = None) -> bytes:
    """Return a batch's file; with `requests`, its answer."""
    data: dict[str, Any] = {
        "urls": asked.urls,
        "options": asked.options,
        "by": asked.by,
        "asked": asked.asked,
        "dropped": asked.dropped,
    }
    if requests is not None:
        data["requests"] = requests
    return json.dumps(data, indent=1).encode("utf-8")


def decode(data: bytes) -> Asked:
    """Read a batch's file.

    Raises:
        BadSpoolFileError: it is none.
    """
    try:
        found = json.loads(data)
        urls = [[url] if isinstance(url, str) else list(url) for url in found["urls"]]
        options = found.get("options", {})
        good = (
            bool(urls)
            and all(each and all(isinstance(url, str) for url in each) for each in urls)
            and isinstance(options, dict)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise BadSpoolFileError(f"not a request: {exc!r}") from exc
    if not good:
        raise BadSpoolFileError("not a request: urls is a list of URLs, options a table")
    asked = found.get("asked", 0.0)
    return Asked(
        urls,
        options,
        str(found.get("by", "")),
        float(asked) if isinstance(asked, int | float) else 0.0,
        dropped=found.get("dropped") is True,
    )


class Spool:
    """The spool of one root."""

    def __init__(self, root: Root) -> None:
        """Use `<root>/spool`; nothing is made before `ensure`."""
        self.path = f"{root.path}/spool"
        self._now = root.now
        self._modes = root.modes
        self._writer = atomic.Writer(f"{self.path}/{TMP}", root.modes, durable=root.writer.durable)

    def ensure(self) -> None:
        """Make the directories; `new` and `tmp` are writable for the group that shares the root."""
        with translated(self.path):
            for name in (TMP, NEW, CUR, DONE, FAILED):
                self._writer.make_directories(f"{self.path}/{name}")
            if self._modes.gid is not None and self._modes.directory is not None:
                for name in (TMP, NEW):
                    path = f"{self.path}/{name}"
                    if os.stat(path).st_uid == os.geteuid():
                        # Sticky: members of the group cannot take away each other's requests.
                        os.chmod(path, self._modes.directory | _STICKY_GROUP)

    # -- files of nodes -----------------------------------------------------------------------

    def dropped(self) -> list[str]:
        """Return the names in `new`, oldest first as far as the file system tells."""
        found = []
        try:
            with os.scandir(f"{self.path}/{NEW}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        continue  # nobody asks by one, and it is not ours to remove
                    try:
                        found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
                    except FileNotFoundError:
                        continue
        except FileNotFoundError:
            return []
        return [name for _, name in sorted(found)]

    def read_dropped(self, name: str) -> Asked:
        """Read a file that a node dropped.

        Raises:
            BadSpoolFileError: it may not be read, or is no request.
            FileNotFoundError: it is gone.
        """
        if not valid_name(name):
            raise BadSpoolFileError("not a name: 8 to 64 letters, digits, - and _")
        data, uid = _read_plain(f"{self.path}/{NEW}/{name}")
        asked = decode(data)
        asked.by = f"uid {uid}"
        asked.asked = self._now()
        asked.dropped = True
        return asked

    def remove_dropped(self, name: str) -> None:
        """Remove a file or link from `new`, whatever it is called."""
        try:
            atomic.remove(f"{self.path}/{NEW}/{name}")
        except OSError:
            pass  # another user's in a sticky directory that is not ours

    # -- our own files ------------------------------------------------------------------------

    def accept(self, batch: str, asked: Asked) -> bool:
        """Write a batch down as under way; False where one of this id is there already."""
        with translated(self.path):
            return self._writer.write(f"{self.path}/{CUR}/{batch}", encode(asked), replace=False)

    def accepted(self) -> list[str]:
        """Return the ids of what is under way."""
        try:
            return sorted(name for name in os.listdir(f"{self.path}/{CUR}") if valid_name(name))
        except FileNotFoundError:
            return []

    def pending(self, batch: str) -> Asked | None:
        """Return a batch that is under way; one that cannot be read is moved to `failed`."""
        return self._read(CUR, batch)

    def ended(self, batch: str) -> Asked | None:
        """Return a batch that has ended, if its file is still there."""
        return self._read(DONE, batch) or self._read(FAILED, batch)

    def finish(
        self, batch: str, asked: Asked, *, good: bool, requests: list[dict[str, Any]] | None
    ) -> None:
        """Move a batch out of `cur`; `requests` is the answer, where one is to be written."""
        current = f"{self.path}/{CUR}/{batch}"
        final = f"{self.path}/{DONE if good else FAILED}/{batch}"
        with translated(self.path):
            if requests is None:
                try:
                    atomic.move(current, final)
                except FileNotFoundError:
                    pass  # swept, or never written because the disk was full
            else:
                self._writer.write(final, encode(asked, requests))
                atomic.remove(current)

    def refuse(self, name: str, why: str) -> None:
        """Answer a dropped file that is no request."""
        body = json.dumps({"error": {"code": "refused-request", "message": why}}).encode()
        with translated(self.path):
            if valid_name(name):
                self._writer.write(f"{self.path}/{FAILED}/{name}", body)
        self.remove_dropped(name)

    def sweep(self, keep: float = KEEP) -> int:
        """Remove the files of requests that ended long ago; return how many."""
        removed = 0
        now = self._now()
        for directory in (DONE, FAILED, TMP):
            try:
                entries = os.scandir(f"{self.path}/{directory}")
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    try:
                        if now - entry.stat(follow_symlinks=False).st_mtime > keep:
                            removed += atomic.remove(entry.path)
                    except OSError:
                        continue  # somebody else's, or gone
        return removed

    def _read(self, directory: str, name: str) -> Asked | None:
        if not valid_name(name):
            return None
        path = f"{self.path}/{directory}/{name}"
        try:
            return decode(_read_plain(path)[0])
        except FileNotFoundError:
            return None
        except BadSpoolFileError:
            if directory == CUR:
                atomic.move(path, f"{self.path}/{FAILED}/{name}")
            return None


def _read_plain(path: str) -> tuple[bytes, int]:
    """Return a file's bytes and owner.

    Raises:
        BadSpoolFileError: a link, a pipe, a directory, or too large.
    """
    # Not waiting: a pipe that somebody planted would hold the daemon for ever.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise BadSpoolFileError(f"it cannot be read: {exc.strerror}") from exc
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise BadSpoolFileError("not a plain file")
        if status.st_size > MAX_FILE:
            raise BadSpoolFileError(f"larger than {MAX_FILE} bytes")
        data = b""
        while chunk := os.read(fd, MAX_FILE + 1 - len(data)):
            data += chunk
            if len(data) > MAX_FILE:
                raise BadSpoolFileError(f"larger than {MAX_FILE} bytes")
    finally:
        os.close(fd)
    return data, status.st_uid
