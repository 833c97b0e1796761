"""Objects by address, to and from a server: streamed, verified, resumed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from fscache import errors
from fscache.fs import atomic
from fscache.objects.digest import address_of
from fscache.objects.verify import hash_file
from fscache.records.root import translated

if TYPE_CHECKING:
    from fscache.records.root import Root
    from fscache.remote.client import Client

_ATTEMPTS = 5


def push(client: Client, path: str) -> str:
    """Upload a file; return its address on the server.

    Raises:
        FscacheError: what the server raised, or that it could not be asked.
    """
    from xxhash import xxh3_128

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        digest, status = hash_file(path, xxh3_128)
        headers = {"X-Fscache-Digest": f"xxh3_128:{digest}"}
        answer = client.upload("/objects", fd, status.st_size, headers)
    finally:
        os.close(fd)
    return str(json.loads(answer.body)["address"])


def pull(client: Client, root: Root, name: str, address: str) -> str:
    """Bring an object into `root`, which exists; return its path.

    Args:
        client: The server.
        root: This machine's.
        name: The address with its slot, as the server knows it.
        address: Without the slot; the bytes must have it.

    Raises:
        NotCachedError: the server has no such object.
        CorruptObjectError: what came is not what the address says.
        FscacheError: the server could not be asked, or the root cannot be written.
    """
    objects = root.objects()
    hasher = objects.new_hasher()
    with translated(root.path):
        fd, temp = root.writer.create_temp()
    done = 0

    def on_head(status: int, _headers: dict[str, str]) -> bool:
        nonlocal done, hasher
        if status == 200 and done:  # it would not resume: from the start
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            done, hasher = 0, objects.new_hasher()
        return True

    def on_data(data: memoryview) -> None:
        nonlocal done
        atomic.write_all(fd, data)
        hasher.update(data)
        done += len(data)

    try:
        with translated(root.path):
            for attempt in range(_ATTEMPTS):
                before = done
                headers = {"Range": f"bytes={done}-"} if done else {}
                try:
                    client.stream(f"/objects/{name}", headers, on_head, on_data)
                    break
                except errors.ServerUnreachableError:
                    if done == before or attempt == _ATTEMPTS - 1:
                        raise
            _check(hasher.hexdigest(), address, name)
            stored = objects.adopt(fd, temp, hasher.hexdigest())
            root.journal.append("put", "object", stored.address, stored.address, stored.size)
    except BaseException:
        atomic.remove(temp)
        raise
    finally:
        os.close(fd)
    return stored.path


def _check(digest: str, address: str, name: str) -> None:
    if address_of(digest) != address:
        raise errors.CorruptObjectError(name, "the server sent other bytes")
