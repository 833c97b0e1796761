"""Copying files to the hosts: which ones, what is there already, and putting the rest in place.

The rules of `select` are those that users of AbstractGrid know:

- an item is `folder/pattern`; `rootdir/folder` is walked through all its subdirectories;
- a file is taken if its name (not its path) matches the pattern, as in a shell;
- and if no string of `exclude` occurs anywhere in its path;
- the directories below `rootdir` are made again below the destination.

What is there with the same bytes stays untouched; what differs is replaced as a whole. Nothing is written
outside the destination, and by default that is a directory of the worker's user alone.
"""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.errors import FscacheError, GridError
from fscache.fs.out import copy_out
from fscache.grid.holdings import CHUNK
from fscache.grid.hosts import chosen, listed
from fscache.objects.digest import address_of, new_hasher
from fscache.objects.verify import hash_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.holdings import Holdings

EXCLUDE = ("cns/", ".svn/")
"""What is left out unless told otherwise."""


class File(NamedTuple):
    """A file to be copied."""

    relative: str
    address: str
    executable: bool


class CopyStatus(NamedTuple):
    """What happened on one host."""

    host: str
    path: str
    """The directory that `rootdir` stands for there."""
    copied: list[str]
    unchanged: list[str]
    error: str


def select(
    rootdir: str, patterns: str | Iterable[str], exclude: str | Iterable[str] = EXCLUDE
) -> list[str]:
    """Return the files to copy, relative to `rootdir`, sorted.

    Args:
        rootdir: A directory.
        patterns: Items `folder/pattern`, or one; without a folder, `rootdir` itself.
        exclude: Strings that no path may contain, or one.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: an item leads out of `rootdir`, and so out of the destination.
    """
    unwanted = listed(exclude)
    found = set()
    for item in listed(patterns):
        if item.startswith("/") or ".." in item.split("/"):
            raise ValueError(f"an item below rootdir is wanted, folder/pattern, not {item!r}")
        folder, _, pattern = item.rpartition("/")
        top = os.path.join(rootdir, folder) if folder else rootdir
        if not os.path.isdir(top):
            raise FileNotFoundError(2, "no such folder", top)
        for directory, _names, files in os.walk(top):
            for name in files:
                path = os.path.join(directory, name)
                if fnmatchcase(name, pattern) and not any(part in path for part in unwanted):
                    found.add(os.path.relpath(path, rootdir))
    return sorted(found)


class Copies:
    """The receiving end, on a node or on a shared file system."""

    def __init__(self, holdings: Holdings, temp: str, *, own: bool) -> None:
        """Receive into `temp`, which if it is our `own` nobody else may write into."""
        self._holdings = holdings
        self._temp = temp
        self._own = own

    def needs(self, files: list[Any], path: str | None = None) -> dict[str, Any]:
        """Tell which files are not in place, and which of their objects are not here.

        Args:
            files: `File`s, as lists.
            path: The destination; this node's own directory by default.
        """
        top = path or self._ready()
        wanted = [
            file for file in map(_file, files) if not _is_there(f"{top}/{file.relative}", file)
        ]
        addresses = sorted({file.address for file in wanted})
        here = self._holdings.has(addresses)
        return {
            "path": top,
            "wanted": wanted,
            "lacking": [address for address, has in zip(addresses, here, strict=True) if not has],
        }

    def place(self, files: list[Any], path: str | None = None) -> None:
        """Put files in place, from objects that are here."""
        top = path or self._ready()
        for file in map(_file, files):
            target = f"{top}/{file.relative}"
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            copy_out(self._holdings.path(file.address), target)
            if file.executable:
                os.chmod(target, 0o755)  # noqa: S103 - as it was

    def _ready(self) -> str:
        """Return this node's directory; raises GridError if somebody else could put files there."""
        if self._own:
            # Its name is known to all, and where it lies anybody may have made it before us.
            os.makedirs(self._temp, mode=0o700, exist_ok=True)
            status = os.lstat(self._temp)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                raise GridError(
                    f"{self._temp} is somebody else's; start the worker with another (temp)"
                )
            if status.st_mode & 0o022:
                raise GridError(f"{self._temp} may be written by others; chmod 700 it")
        return self._temp


def _file(fields: Any) -> File:
    return File(*fields)


def _is_there(path: str, file: File) -> bool:
    try:
        digest, status = hash_file(path, new_hasher)
    except OSError:
        return False
    return address_of(digest) == file.address and bool(status.st_mode & 0o100) == file.executable


def copy_files(
    cluster: Cluster,
    cache: Cache,
    rootdir: str,
    patterns: str | Iterable[str],
    *,
    exclude: str | Iterable[str],
    hosts: str | Iterable[str] | None,
    shared: str | None,
) -> list[CopyStatus]:
    """Copy files to hosts; see `Grid.copy_files`."""
    relative = select(rootdir, patterns, exclude)
    workers = chosen(cluster.workers(), hosts)
    files = []
    for name in relative:
        path = os.path.join(rootdir, name)
        executable = bool(os.stat(path).st_mode & 0o100)
        files.append(File(name, cache.put(path), executable))
    if shared is not None:
        # One worker does it for all; the others see the same files.
        workers = workers[:1]
    places = {(worker.host, shared or worker.temp): worker for worker in workers}
    return [_copy_to(cluster, cache, worker, files, shared) for worker in places.values()]


def _copy_to(
    cluster: Cluster, cache: Cache, worker: WorkerInfo, files: list[File], shared: str | None
) -> CopyStatus:
    try:
        answer = cluster.ask(worker.address, "needs", files=files, path=shared)
        for address in answer["lacking"]:
            push(cluster, cache, worker.address, address)
        cluster.ask(worker.address, "place", files=answer["wanted"], path=shared)
    except (OSError, FscacheError) as exc:
        return CopyStatus(worker.host, shared or worker.temp, [], [], str(exc))
    copied = {File(*fields).relative for fields in answer["wanted"]}
    unchanged = [file.relative for file in files if file.relative not in copied]
    return CopyStatus(worker.host, answer["path"], sorted(copied), unchanged, "")


def push(cluster: Cluster, cache: Cache, worker: str, address: str) -> None:
    """Send an object of this program's cache to a worker's node.

    Raises:
        HostDied: it is gone.
        GridError: it could not keep the object.
    """

    async def send(fd: int) -> str:
        offset = 0
        channel = await cluster.open_channel(worker, kind="push", address=address)
        # Read on the event loop: from the page cache, into which it was written a moment ago.
        while chunk := os.pread(fd, CHUNK, offset):
            offset += len(chunk)
            channel.post(chunk)
            await channel.drained()
        channel.post(None)
        try:
            async for answer in channel.items():
                return str(answer)
            return "the connection was lost"
        finally:
            channel.abort()

    fd = os.open(cache.path(address), os.O_RDONLY | os.O_CLOEXEC)
    try:
        why = cluster.run(send(fd))
    finally:
        os.close(fd)
    if why:
        raise GridError(f"object {address} to {worker}: {why}")
