"""What a root of ours holds beside objects and their URLs: key-values, pins and task records.

Doing it again changes nothing:

- a key-value comes with its ttl and tags. One that the root has another value for stays, as a URL does;
- task records come as whole segments of their log, so that the records of two roots become one history.
  A segment that somebody still writes to stays: end that process, and call again;
- pins come by their names.

What an entry or a record names is looked at, and brought again if need be, under the shared lock under
which it is written: no purge comes between the two.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from fscache.fs import atomic
from fscache.fs.bring import bring
from fscache.fs.lock import try_flock
from fscache.kv import record
from fscache.kv.shelf import Shelf
from fscache.kv.source import KVSource
from fscache.migrate.checks import ADDRESS
from fscache.migrate.item import Item, Passed
from fscache.objects.digest import address_of
from fscache.objects.layout import format_address, parse_address
from fscache.records.entryfile import name_hash
from fscache.records.journal import COMPLETE, PUT, TASK
from fscache.records.pins import Pins
from fscache.tasks.segment import SUFFIX
from fscache.tasks.source import TaskSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.kv.record import Pointer, Record
    from fscache.migrate.log import Log
    from fscache.migrate.transfer import Transfer
    from fscache.records.root import Root

_BROUGHT = "-"  # in the log, where a file's address would be


@dataclass(slots=True)
class Besides:
    """How much there is of each; after `take`, how much of it is in the root.

    Attributes:
        keys: Key-values that have not passed their ttl.
        segments: Segments of task records.
        pins: Pins.
    """

    keys: int = 0
    segments: int = 0
    pins: int = 0


def count(source: Root) -> Besides:
    """Return what there is to bring; changes nothing."""
    keys = sum(len(_keys(source, store)) for store in _stores(source))
    return Besides(keys, len(_segments(source)), len(Pins(source, read_only=True).names()))


class Beside:
    """Brings what lies in one root beside its objects into another."""

    def __init__(self, root: Root, source: Root, transfer: Transfer, log: Log) -> None:
        """Bring into `root` from `source`, whose objects `transfer` brings."""
        self._root = root
        self._source = source
        self._transfer = transfer
        self._log = log
        self.done = Besides()

    def pin(self, *, by: str) -> None:
        """Bring the pins, in the name of `by`; before the objects, which are old and may be purged."""
        for name in Pins(self._source, read_only=True).names():
            Pins(self._root).add(name, by=by)
            self.done.pins += 1

    def take(self) -> Iterator[Passed]:
        """Bring key-values and task records, after the objects; yield what stays."""
        for store in _stores(self._source):
            shelf = self._shelf(store)
            for name, path in _keys(self._source, store):
                why = self._key(shelf, store, name)
                if why:
                    yield Passed(path, why)
        yield from self._tasks()

    def remove(self) -> frozenset[str]:
        """Remove from the source what is in the root now; return the objects that the rest needs."""
        for store in _stores(self._source):
            shelf = self._shelf(store)
            entries = self._source.entries(f"kv/{store}", b"key")
            for name, _path in _keys(self._source, store):
                try:
                    theirs = _read(self._source, store, name)
                except ValueError:
                    continue
                if theirs is not None and self._has(shelf, name, theirs):
                    entries.delete(name)
        for path in _segments(self._source):
            if self._log.address(self._relative(path), os.stat(path)) is not None:
                atomic.remove(path)
        for pin in Pins(self._source).names():
            Pins(self._source).remove(pin)
        # Its journal was not told of any of this: its catalog is to be made of what is left.
        atomic.remove(f"{self._source.path}/journal/{COMPLETE}")
        return frozenset(self._needed())

    def _needed(self) -> Iterator[str]:
        objects = self._source.objects()
        named = [each.address for each in KVSource(self._source).scan()]
        if _segments(self._source):
            named += [each.address for each in TaskSource(self._source).scan()]
        yield from (objects.locate(*parse_address(address)) for address in named if address)

    def _key(self, shelf: Shelf, store: str, name: bytes) -> str:
        """Bring a key-value; return why not, where it stays."""
        with self._root.shared, shelf.turn(name):
            try:
                theirs = _read(self._source, store, name)
            except ValueError as exc:
                return str(exc)
            if theirs is None:
                return ""  # deleted, or past its ttl, meanwhile
            key = name.decode("utf-8", "surrogateescape")
            if shelf.find(key) is None:
                if theirs.pointer is not None:
                    here = self._body(theirs.pointer)
                    if here is None:
                        return "its object did not come"
                    theirs.pointer = here
                shelf.write(key, name, theirs)
            elif not self._has(shelf, name, theirs):
                return "the root has another value for this key"
        self.done.keys += 1
        return ""

    def _has(self, shelf: Shelf, name: bytes, theirs: Record) -> bool:
        """Whether the root has the same value for a key."""
        found = shelf.find(name.decode("utf-8", "surrogateescape"))
        if found is None:
            return False
        ours = found[0]
        return (ours.letter, ours.body, _digest(ours)) == (
            *(theirs.letter, theirs.body, _digest(theirs)),
        )

    def _body(self, pointer: Pointer) -> Pointer | None:
        address = self._object(format_address(address_of(pointer.digest), pointer.slot))
        if address is None:
            return None
        slot = parse_address(address)[1]
        status = os.stat(self._root.objects().locate(*parse_address(address)))
        return record.Pointer(
            pointer.digest, slot, status.st_size, status.st_ino, status.st_mtime_ns
        )

    def _object(self, address: str) -> str | None:
        """Return where an object of the source lies here, None where it stays."""
        place = parse_address(address)
        item = Item(self._source.objects().locate(*place), expected={ADDRESS: place[0]})
        try:
            return self._transfer.address(item)
        except FileNotFoundError:
            return None

    def _tasks(self) -> list[Passed]:
        stay = []
        with self._root.shared:
            for named in TaskSource(self._source).scan():
                # The records hold the address itself.
                if self._object(named.address) == named.address:
                    self._root.journal.append(PUT, TASK, named.name, named.address, named.size)
                else:
                    path = self._source.objects().locate(*parse_address(named.address))
                    stay.append(Passed(path, "a task's buffer, which did not come"))
            for path in _segments(self._source):
                if self._segment(path):
                    self.done.segments += 1
                else:
                    stay.append(Passed(path, "a process still writes task records to it"))
        return stay

    def _segment(self, path: str) -> bool:
        """Bring one segment; False if somebody writes to it."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if not try_flock(fd):
                return False
            status = os.fstat(fd)
            if self._log.address(self._relative(path), status) is not None:
                return True
            writer = self._root.writer
            copy, temp, _how = bring(writer, path, link=False)
            try:
                writer.seal(copy)
                target = f"{self._root.path}/tasks/{os.path.basename(path)}"
                if not writer.publish(temp, target, replace=False):
                    atomic.remove(temp)
            except BaseException:
                atomic.remove(temp)
                raise
            finally:
                os.close(copy)
            self._log.add(self._relative(path), status, _BROUGHT)
        finally:
            os.close(fd)
        return True

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self._source.path)

    def _shelf(self, store: str) -> Shelf:
        return Shelf(self._root, store, memory=0, serializer=None, hash_name=name_hash)


def _stores(root: Root) -> list[str]:
    try:
        return sorted(os.listdir(f"{root.path}/kv"))
    except FileNotFoundError:
        return []


def _keys(root: Root, store: str) -> list[tuple[bytes, str]]:
    """Return the keys of a store that are alive, or cannot be told, with their files."""
    found = []
    for name, payload, file in root.entries(f"kv/{store}", b"key", read_only=True).scan():
        try:
            alive = record.decode(payload).is_alive(root.now())
        except ValueError:
            alive = True
        if alive:
            found.append((name, file.path))
    return found


def _read(root: Root, store: str, name: bytes) -> Record | None:
    """Return the record of a key that is alive; raises ValueError for one of a later version."""
    payload = root.entries(f"kv/{store}", b"key", read_only=True).read(name)
    known = None if payload is None else record.decode(payload)
    return known if known is not None and known.is_alive(root.now()) else None


def _digest(known: Record) -> str:
    return "" if known.pointer is None else known.pointer.digest


def _segments(root: Root) -> list[str]:
    try:
        names = os.listdir(f"{root.path}/tasks")
    except FileNotFoundError:
        return []
    return [f"{root.path}/tasks/{name}" for name in sorted(names) if name.endswith(SUFFIX)]
