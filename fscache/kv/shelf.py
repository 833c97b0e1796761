"""One store on disk: entries, bodies, names and journal moved together; what `local` builds on.

A write, in this order, under the root's shared lock and the key's own: the body as an object, if it is
large; the journal's record; the name, if it gets a ttl or tags; the entry, in one step. Killed in
between, it leaves an object nobody names, a record of what is not there (whoever lists looks), or a name
to look into. A write that fails says so in the journal. A removal is the other way round: the entry,
then the journal.
"""

from __future__ import annotations

from fscache.kv import codec, record
from fscache.kv.face import NOTHING
from fscache.kv.memory import OVERHEAD, Memory, stamp
from fscache.records.entryfile import Place
from fscache.records.journal import DELETE, KV, PUT
from fscache.records.root import translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fscache.fs.stripes import Held, Stripes
    from fscache.kv.bodies import Bodies
    from fscache.kv.codec import Buffer, Serializer
    from fscache.kv.names import Names
    from fscache.kv.record import Record
    from fscache.records.root import Root

    Found = tuple[Record, Place]

LARGE = 64 * 1024  # bytes of a body above which it is an object of its own
LOCK_TIMEOUT = 60.0  # seconds; a turn takes 50 µs
_FROZEN = frozenset({str, bytes, int, float, bool, type(None)})


class Shelf:
    """The files of one store."""

    __slots__ = (
        "_address",
        "_bodies",
        "_name",
        "_names",
        "_serializer",
        "_stripes",
        "entries",
        "memory",
        "root",
    )

    def __init__(
        self,
        root: Root,
        name: str,
        *,
        memory: int,
        serializer: Serializer | None,
        hash_name: Callable[[bytes], str],
    ) -> None:
        """Use the files of the store `name`; see `LocalStore`."""
        self.root = root
        self.entries = root.entries(
            f"kv/{name}", b"key", writer=root.grouped_writer, hash_name=hash_name
        )
        self.memory = Memory(memory)
        self._name = name
        self._address = hash_name
        self._serializer = serializer
        self._stripes: Stripes | None = None
        self._bodies: Bodies | None = None
        self._names: Names | None = None

    def turn(self, name: bytes, *, needed: bool = False) -> Held:
        """`with shelf.turn(name):` — nobody else writes this key; see `Stripes.held`."""
        if self._stripes is None:
            from fscache.fs.stripes import Stripes

            self._stripes = Stripes(
                f"{self.root.path}/locks/kv",
                mode=self.root.modes.partial,
                make=self.root.writer.make_directories,
                timeout=LOCK_TIMEOUT,
            )
        return self._stripes.held(int(self._address(name)[:4], 16), needed=needed)

    def get(self, key: str) -> Any:
        """Return a key's value, NOTHING where there is none; raises as `find`."""
        name = encode_name(key)
        admitted = self.memory.admits(key)
        try:
            if not admitted:
                payload = self.entries.read(name)
                if payload is None:
                    return NOTHING
                if payload[:1] == record.PLAIN:
                    return self.decode(payload[1:2], payload[2:], self.entries.top)
            found = self.entries.find(name)
        except OSError as exc:
            raise translate(exc, self.root.path) from exc
        if found is None:
            return NOTHING
        payload, path, status = found
        known = self._decode_record(payload, path)
        if not known.is_alive(self.root.now()):
            return NOTHING
        return self.value(key, known, Place.of(path, status), remember=admitted)

    def find(self, key: str, *, dead: bool = False) -> Found | None:
        """Return a key's record and place, None where there is none.

        Args:
            key: The key.
            dead: Also what has passed its ttl.

        Raises:
            StoreError: it cannot be read.
            FormatError: it was written by a later version.
        """
        try:
            found = self.entries.find(encode_name(key))
        except OSError as exc:
            raise translate(exc, self.root.path) from exc
        if found is None:
            return None
        payload, path, status = found
        known = self._decode_record(payload, path)
        if dead or known.is_alive(self.root.now()):
            return known, Place.of(path, status)
        return None

    def value(self, key: str, known: Record, place: Place, *, remember: bool) -> Any:
        """Return a record's value; NOTHING where its object is gone or corrupt.

        Args:
            key: The key.
            known: Its record.
            place: Where that lies.
            remember: Keep the value in memory. A megabyte that is not kept is read into the memory of
                the one before: 0.45 ms instead of 0.7.
        """
        letter, body = known.letter, known.body
        if known.pointer is not None:
            try:
                if letter == codec.ARRAY:
                    array = self.bodies.map(known.pointer)
                    return NOTHING if array is None else array
                read = self.bodies.read(known.pointer)
            except OSError as exc:
                raise translate(exc, self.root.path) from exc
            if read is None:
                return NOTHING
            body = read
        value = self.decode(letter, body, place.path)
        if remember:
            frozen = type(value) in _FROZEN
            kept = value if frozen else body
            self._remember(key, known, place, kept, len(body), frozen=frozen)
        return value

    def body(self, known: Record) -> bytes | None:
        """Return a record's body, wherever it lies; None as `value`."""
        return known.body if known.pointer is None else self.bodies.read(known.pointer)

    def decode(self, letter: bytes, body: bytes, path: str) -> Any:
        """Return the value of a letter and body; raises FormatError."""
        try:
            return codec.decode(letter, body, self._serializer)
        except codec.UnknownKindError as exc:
            raise _unreadable(path, exc) from exc

    def write(
        self,
        key: str,
        name: bytes,
        new: Record,
        pieces: list[Buffer] | None = None,
        value: object = NOTHING,
    ) -> None:
        """Write a key's record. The caller holds the locks and translates errors.

        Args:
            key: The key.
            name: The same as its entry has it.
            new: Its record; without body and pointer where `pieces` are given.
            pieces: The body.
            value: The value, if it is at hand: to be remembered.
        """
        address = ""
        if pieces is not None:
            size = sum(map(codec.length, pieces))
            if size > LARGE:
                new.pointer, address = self.bodies.put(pieces)
            else:
                new.body = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        elif new.pointer is not None:
            size, address = new.pointer.size, self.bodies.address(new.pointer)
        else:
            size = len(new.body)
        payload = new.encode()
        self.root.journal.append(PUT, KV, f"{self._name}/{key}", address, size)
        try:
            special = new.expires is not None or bool(new.tags)
            if special:
                self.names.note(key, special=True)
            seen = self.memory.get(key)
            mtime_ns = stamp(self.root.now())
            place = self.entries.write(
                name,
                payload,
                known=None if seen is None else Place(*seen[:4]),
                mtime_ns=mtime_ns,
                in_place=self._stripes is not None and self._stripes.works,
            )
            if place.new and not special:
                self.names.note(key, special=False)
        except BaseException:
            # The record told of what has not come about: this one has the catalog look at the disk.
            self.root.journal.append(DELETE, KV, f"{self._name}/{key}")
            raise
        if value is NOTHING or type(value) not in _FROZEN:
            self.memory.drop(key)
        else:
            self._remember(key, new, place, value, size)

    def remove(self, key: str) -> None:
        """Remove a key's entry. The caller holds the locks and translates errors."""
        self.memory.drop(key)
        if self.entries.delete(encode_name(key)):
            self.root.journal.append(DELETE, KV, f"{self._name}/{key}")

    @property
    def bodies(self) -> Bodies:
        """The large bodies."""
        if self._bodies is None:
            from fscache.kv.bodies import Bodies

            self._bodies = Bodies(self.root)
        return self._bodies

    @property
    def names(self) -> Names:
        """The store's keys."""
        if self._names is None:
            from fscache.kv.namelog import NameLog
            from fscache.kv.names import Names

            log = NameLog(f"{self.root.path}/journal/kv/{self._name}", self.root.writer)
            self._names = Names(
                self.entries,
                log,
                split=self.root.entry_split,
                address=self._address,
                is_special=_is_special,
                exclusive=lambda: self.root.exclusive(timeout=0.0),
            )
        return self._names

    def _decode_record(self, payload: bytes, path: str) -> Record:
        try:
            return record.decode(payload)
        except ValueError as exc:
            raise _unreadable(path, exc) from exc

    def _remember(
        self, key: str, known: Record, place: Place, value: Any, size: int, *, frozen: bool = True
    ) -> None:
        # What a caller could change is remembered as its bytes, and decoded each time.
        at = (place.path, place.inode, place.size, place.mtime_ns)
        weight = OVERHEAD + len(key) + size
        self.memory.keep(key, (*at, known.letter, value, frozen, known.expires, weight))


def encode_name(key: str) -> bytes:
    """Return a key as its entry has it.

    Raises:
        TypeError: it is not text.
        ValueError: it has a lone surrogate that stands for no byte (as in a file's name).
    """
    if not isinstance(key, str):
        raise TypeError(f"a key is text, not {type(key).__name__}: {key!r:.100}")
    return key.encode("utf-8", "surrogateescape")


def _is_special(payload: bytes) -> bool:
    try:
        known = record.decode(payload)
    except ValueError:
        return True  # of a later version: to be looked into
    return known.expires is not None or bool(known.tags)


def _unreadable(path: str, exc: ValueError) -> Exception:
    from fscache.errors import FormatError

    return FormatError(path=path, why=str(exc))
