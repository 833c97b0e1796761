"""Which keys a store has: the files say which entries there are, a log says what they are called.

An entry's file is called by the hash of its key, so reading 100,000 keys out of their entries would
take half a second; listing the 256 directories takes 25 ms. The log, `journal/kv/<store>/<host>.<uid>`,
has a line for every key that was ever new: a listing hashes the names in it and looks up which of them
have a file. A file whose name the log does not tell is read, and noted.

So the log is derived: what it says of a key is true whatever happens to it (the hash proves it), and
what it lacks costs time only. One thing rests on it: whether a key has ever had a ttl or tags (`*`).
That line is written before the entry, and where it cannot be written the put fails.

    <line break><`-`, or `*`: look into the entry><name, backslashes and line breaks escaped>
"""

from __future__ import annotations

import os

from fscache.records.journal import chain_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from fscache.fs.atomic import Writer
    from fscache.objects.layout import Split
    from fscache.records.entries import EntryStore

_PLAIN, _SPECIAL = b"-", b"*"
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_WASTE = 4  # lines per key above which the log is written anew, once it has
_FEW = 50_000  # lines
_LOOK = 256  # appends


class NameLog:
    """The log of one store's names; each user of each host appends to a file of their own."""

    __slots__ = ("_appends", "_directory", "_fd", "_mode", "_offsets", "_path", "_writer", "lines")

    def __init__(self, directory: str, writer: Writer) -> None:
        """Keep the log in `directory`; nothing is opened before the first name."""
        self._directory = directory
        self._path = f"{directory}/{chain_name(os.uname().nodename, os.getuid())}"
        self._writer = writer
        self._mode = writer.modes.object | 0o200
        self._fd = -1
        self._appends = 0
        self._offsets: dict[str, tuple[int, int]] = {}
        self.lines = 0

    def append(self, lines: bytes, *, needed: bool) -> None:
        """Append whole lines; raises OSError.

        Args:
            lines: The lines.
            needed: They must not be missing; the caller holds the root's shared lock.
        """
        # A log that was deleted, or written anew, is opened again: nobody would read the old one.
        # What may be missing costs somebody a read, so for that it is enough to look now and then.
        self._appends += 1
        if self._fd < 0 or (
            (needed or not self._appends % _LOOK) and not os.fstat(self._fd).st_nlink
        ):
            self._open()
        if os.write(self._fd, lines) != len(lines):
            raise OSError(28, "the file system is full", self._path)

    def unread(self) -> Iterator[bytes]:
        """Yield what was appended, by anybody, since the last call; the last line comes again."""
        try:
            names = os.listdir(self._directory)
        except OSError:
            return
        for name in names:
            path = f"{self._directory}/{name}"
            try:
                with open(path, "rb", buffering=0) as file:
                    inode = os.fstat(file.fileno()).st_ino
                    known, offset = self._offsets.get(path, (inode, 0))
                    file.seek(offset if known == inode else 0)
                    start = file.tell()
                    data = file.read()
            except OSError:
                continue  # not ours to read: its keys are read out of their entries
            last = data.rfind(b"\n")
            self._offsets[path] = (inode, start + max(last, 0))
            yield data

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Replace this user's log; the caller holds the root's exclusive lock."""
        self._writer.write(self._path, b"".join(lines))
        self.lines = 0

    def _open(self) -> None:
        try:
            fd = os.open(self._path, _FLAGS, self._mode)
        except FileNotFoundError:
            self._writer.make_directories(self._directory)
            fd = os.open(self._path, _FLAGS, self._mode)
        if os.fstat(fd).st_mode & 0o777 != self._mode:
            os.fchmod(fd, self._mode)
        if self._fd < 0:
            self._fd = fd
            return
        # In one step: a thread in the midst of a write must not find the number closed, or given away.
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class Names:
    """The keys of one store."""

    __slots__ = (
        "_address",
        "_ambiguous",
        "_entries",
        "_exclusive",
        "_is_special",
        "_known",
        "_log",
        "_parts",
        "special",
    )

    def __init__(
        self,
        entries: EntryStore,
        log: NameLog,
        *,
        split: Split,
        address: Callable[[bytes], str],
        is_special: Callable[[bytes], bool],
        exclusive: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """List what lies in `entries`.

        Args:
            entries: The entries.
            log: Their names.
            split: How addresses become paths.
            address: The address of a name.
            is_special: Whether a payload has a ttl or tags.
            exclusive: The root's exclusive lock; raises StoreError if somebody has it.
        """
        self._entries = entries
        self._log = log
        self._parts = split.parts
        self._address = address
        self._is_special = is_special
        self._exclusive = exclusive
        self._known: dict[str, str] = {}
        self._ambiguous: set[str] = set()
        self.special: set[str] = set()
        """Keys that have ever had a ttl or tags; complete after `present`."""

    def note(self, key: str, *, special: bool) -> None:
        """Note a new key, after its entry was written; or one that gets a ttl or tags, before.

        Raises:
            OSError: it could not be noted, and that matters.
        """
        if special and key in self.special:
            return
        try:
            self._log.append(_line(key, special=special), needed=special)
        except OSError:
            if special:
                raise
        if special:
            self.special.add(key)

    def present(self, prefix: str = "") -> list[str]:
        """Return the keys that have an entry and begin with `prefix`, in no particular order."""
        self._catch_up()
        found: list[str] = []
        unknown: list[str] = []
        for digits, directory in leaves(self._entries.top, self._parts):
            try:
                names = os.listdir(directory)
            except FileNotFoundError:
                continue
            for name in names:
                if "-" in name:
                    self._doubt(f"{digits}{name.partition('-')[0]}")
            keys = list(map(self._known.get, map(digits.__add__, names)))
            found += [key for key in keys if key is not None]
            if None in keys:
                unknown += [
                    f"{directory}/{name}"
                    for name, key in zip(names, keys, strict=True)
                    if key is None
                ]
        found += self._read(unknown)
        if self._log.lines > max(_FEW, _WASTE * len(found)):
            self._tidy(found)
        return [key for key in found if key.startswith(prefix)] if prefix else found

    def key_of(self, path: str) -> str | None:
        """Return the key whose entry lies, or lay until now, in a file."""
        found = self._entries.load(path)
        if found is not None:
            return found[0].decode("utf-8", "surrogateescape")
        address = path[len(self._entries.top) + 1 :].replace("/", "")
        if address not in self._known:
            self._catch_up()
        return self._known.get(address)

    def _catch_up(self) -> None:
        for data in self._log.unread():
            lines = data.split(b"\n")
            self._log.lines += len(lines)
            for line in lines:
                name = line[1:]
                if b"\\" in name:
                    name = name.replace(b"\\n", b"\n").replace(b"\\b", b"\\")
                key = name.decode("utf-8", "surrogateescape")
                if line[:1] == _SPECIAL:
                    self.special.add(key)
                elif line[:1] != _PLAIN:
                    continue
                address = self._address(name)
                if self._known.setdefault(address, key) != key:
                    self._doubt(address)
                elif address in self._ambiguous:
                    del self._known[address]

    def _doubt(self, address: str) -> None:
        """Have entries of an address that two names share read, whatever the log says."""
        self._ambiguous.add(address)
        self._known.pop(address, None)

    def _read(self, paths: list[str]) -> list[str]:
        """Return the keys of entries whose names the log does not tell, and note them."""
        keys = []
        lines = []
        for path in paths:
            found = self._entries.load(path)
            if found is None:
                continue  # removed meanwhile, or a tombstone
            name, payload = found
            key = name.decode("utf-8", "surrogateescape")
            keys.append(key)
            special = self._is_special(payload)
            if special:
                self.special.add(key)
            address = self._address(name)
            if address not in self._ambiguous:
                self._known[address] = key
                lines.append(_line(key, special=special))
        if lines:
            try:
                self._log.append(b"".join(lines), needed=False)
            except OSError:
                pass  # a root that we may only read: each process reads them for itself
        return keys

    def _tidy(self, keys: list[str]) -> None:
        """Drop the names of keys that are gone, from the log and from memory."""
        from fscache.errors import StoreError

        try:
            with self._exclusive():
                self._catch_up()  # what got a ttl before we had the lock
                self._log.rewrite(_line(key, special=key in self.special) for key in keys)
        except (OSError, StoreError):
            self._log.lines = 0  # somebody is writing, or we may not: another time
            return
        self.special.intersection_update(keys)
        addresses = [self._address(key.encode("utf-8", "surrogateescape")) for key in keys]
        self._known = dict(zip(addresses, keys, strict=True))
        for address in list(self._ambiguous):
            self._known.pop(address, None)


def _line(key: str, *, special: bool) -> bytes:
    name = key.encode("utf-8", "surrogateescape")
    if b"\\" in name or b"\n" in name:
        name = name.replace(b"\\", b"\\b").replace(b"\n", b"\\n")
    return b"\n%b%b" % (_SPECIAL if special else _PLAIN, name)


def leaves(top: str, parts: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Yield the directories of entries below `top`, each with the digits that lead to it.

    Args:
        top: The directory of the store.
        parts: The lengths of the split's parts, the last one the file's name.
    """
    level = [("", top)]
    for _ in parts[:-1]:
        level = [
            (digits + name, f"{directory}/{name}")
            for digits, directory in level
            for name in _names(directory)
        ]
    yield from level


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
