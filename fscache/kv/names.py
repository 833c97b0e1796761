"""Which keys a store has: the files say which entries there are, a log says what they are called.

An entry's file is called by the hash of its key, so reading 100,000 keys out of their entries would
take half a second; listing the 256 directories takes 25 ms. The log (`kv.namelog`) has a line for every
key that was ever new: a listing hashes the names in it and looks up which of them have a file. A file
whose name the log does not tell is read, and noted.

So the log is derived: what it says of a key is true whatever happens to it (the hash proves it), and
what it lacks costs time only. One thing rests on it: whether a key has ever had a ttl or tags. That is
noted before the entry is written, and where it cannot be noted the put fails.
"""

from __future__ import annotations

import os

from fscache.kv.namelog import line, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fscache.kv.namelog import NameLog
    from fscache.objects.layout import Split
    from fscache.records.entries import EntryStore

_WASTE = 4  # lines per key above which the log is written anew, once it has
_FEW = 50_000  # lines


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
            self._log.append(line(key, special=special), needed=special)
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
            for name, special in parsed(data):
                key = name.decode("utf-8", "surrogateescape")
                if special:
                    self.special.add(key)
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
                lines.append(line(key, special=special))
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
                self._log.rewrite(line(key, special=key in self.special) for key in keys)
        except (OSError, StoreError):
            self._log.lines = 0  # somebody is writing, or we may not: another time
            return
        self.special.intersection_update(keys)
        addresses = [self._address(key.encode("utf-8", "surrogateescape")) for key in keys]
        self._known = dict(zip(addresses, keys, strict=True))
        for address in list(self._ambiguous):
            self._known.pop(address, None)


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
