"""Where buffers over 4 KiB lie: objects of the root, or this process's memory.

An object is named by every record that has its bytes; equal buffers are stored once. The journal is
told of each name (`<msg_id>/<address>`), so that no purge takes what a record needs.
"""

from __future__ import annotations

import os

from fscache.errors import CorruptObjectError
from fscache.fs.copies import open_quietly
from fscache.objects.digest import digest_of
from fscache.objects.layout import format_address, parse_address
from fscache.records.journal import DELETE, PUT, TASK
from fscache.records.root import translate, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.records.root import Root


class RootKeeper:
    """Keeps buffers as objects of a root."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._objects = root.objects()
        self.busy = False
        self.discarded: list[str] = []
        """Addresses that no record names any more: for whoever may remove objects."""

    def end(self) -> None:
        """Let purges in again."""
        self.busy = False
        self._root.shared.__exit__(None, None, None)

    def put(self, msg_id: str, data: bytes) -> tuple[str, int]:
        """Store bytes, and note that a record names them."""
        with translated(self._root.path):
            self._begin()
            stored = self._objects.put_bytes(data)
        self._note(msg_id, stored.address, stored.size)
        return parse_address(stored.address)

    def name(self, msg_id: str, address: str, slot: int, size: int) -> bool:
        """Note that a record names an object that is there already; False if it is gone."""
        self._begin()
        if not os.path.exists(self._objects.locate(address, slot)):
            return False
        self._note(msg_id, format_address(address, slot), size)
        return True

    def _begin(self) -> None:
        if not self.busy:  # most records have only small buffers, and need no lock
            self._root.ensure()
            self._root.shared.__enter__()
            self.busy = True

    def _note(self, msg_id: str, address: str, size: int) -> None:
        self._root.journal.append(PUT, TASK, reference_name(msg_id, address), address, size)

    def read(self, address: str, slot: int) -> bytes:
        """Return an object's bytes; `fscache.tasks.bodies` lets nothing come here that is no address."""
        path = self._objects.locate(address, slot)
        try:
            # Its access time stays: by it is known whether anybody but tasks has asked for it.
            with open(open_quietly(path), "rb", buffering=0) as file:
                data = file.readall()
        except FileNotFoundError as exc:
            raise CorruptObjectError(path=path, why="a task's buffer is gone") from exc
        except OSError as exc:
            raise translate(exc, path) from exc
        if not digest_of(data).startswith(address):
            self._objects.quarantine(path, f"{self._root.path}/quarantine")
            raise CorruptObjectError(
                path=path, why="a task's buffer has other bytes than its digest"
            )
        return data

    def owner(self, address: str, slot: int) -> int:
        """Return the user who has written an object, -1 where it is gone."""
        try:
            return os.stat(self._objects.locate(address, slot)).st_uid
        except FileNotFoundError:
            return -1

    def unname(self, msg_id: str, address: str, slot: int) -> None:
        """Note that a record no longer names an object."""
        text = format_address(address, slot)
        self._root.journal.append(DELETE, TASK, reference_name(msg_id, text), text)

    def discard(self, address: str, slot: int) -> None:
        """Note that no record names an object any more."""
        self.discarded.append(format_address(address, slot))

    def take_discarded(self) -> list[str]:
        """Return `discarded`, which begins anew."""
        taken, self.discarded = self.discarded, []
        return taken


class MemoryKeeper:
    """Keeps buffers in memory: for the backend `memory`."""

    def __init__(self) -> None:
        self.busy = False
        self._data: dict[str, bytes] = {}

    def end(self) -> None:
        """Nothing to let in."""

    def put(self, msg_id: str, data: bytes) -> tuple[str, int]:  # noqa: ARG002 - as RootKeeper's
        """Keep bytes, equal ones once."""
        address = digest_of(data)[:20]
        slot = 0
        while self._data.setdefault(format_address(address, slot), data) != data:
            slot += 1
        return address, slot

    def name(self, msg_id: str, address: str, slot: int, size: int) -> bool:  # noqa: ARG002
        """Whether there are such bytes."""
        return format_address(address, slot) in self._data

    def read(self, address: str, slot: int) -> bytes:
        """Return the bytes."""
        try:
            return self._data[format_address(address, slot)]
        except KeyError:
            raise CorruptObjectError(path=address, why="a task's buffer is gone") from None

    def owner(self, address: str, slot: int) -> int:  # noqa: ARG002 - as RootKeeper's
        """Return the user who has written bytes: this one."""
        return os.getuid()

    def unname(self, msg_id: str, address: str, slot: int) -> None:
        """Nothing to note."""

    def discard(self, address: str, slot: int) -> None:
        """Free the bytes."""
        self._data.pop(format_address(address, slot), None)


def reference_name(msg_id: str, address: str) -> str:
    """Return what the journal and the catalog call the naming of an object by a record."""
    return f"{msg_id}/{address}"
