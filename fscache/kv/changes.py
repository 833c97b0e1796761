"""Changes that rest on what a key has now: each under the key's turn, so that none is lost.

A change that is asked for again with its token, because the first answer was lost on the way, is made
once: the record remembers the token and what came of it.
"""

from __future__ import annotations

from fscache.kv import codec, record
from fscache.kv.checks import number_to_count_with, plain_number
from fscache.kv.face import ABSENT, NOTHING, Version
from fscache.kv.shelf import encode_name
from fscache.records.root import translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fscache.kv.codec import Serializer
    from fscache.kv.shelf import Found, Shelf
    from fscache.records.entryfile import Place
    from fscache.records.root import Root

    Terms = tuple[int | None, tuple[str, ...]]  # when it expires, and its tags


class Changes:
    """Makes them in one store of this machine; see `kv.face.KeyValues` for what each is."""

    __slots__ = ("_root", "_serializer", "_shelf")

    def __init__(self, root: Root, shelf: Shelf, serializer: Serializer | None) -> None:
        """Change what lies on `shelf`."""
        self._root = root
        self._shelf = shelf
        self._serializer = serializer

    def incr(self, key: str, delta: float, default: float, once: str) -> Any:
        """Add to a number; return the sum."""
        name = encode_name(key)
        token = record.check_token(once)
        delta, default = number_to_count_with(delta), number_to_count_with(default)
        with translated(self._root.path):
            self._root.ensure()
            with self._root.shared, self._shelf.turn(name, needed=True):
                found = self._shelf.find(key)
                old = record.Record(*_number(default)) if found is None else found[0]
                done = old.result_of(token)
                if done is not None:
                    return codec.decode(done[:1], done[1:])
                # The letters of an int, a float, a NumPy scalar: a large body is not read for this.
                kept = None
                if old.letter in (b"i", b"I", b"r", b"g"):
                    kept = plain_number(codec.decode(old.letter, self._shelf.body(old) or b""))
                if kept is None:
                    raise TypeError(f"the value of {key!r:.100} is no number")
                total = kept + delta
                letter, body = _number(total)
                new = record.Record(letter, b"", expires=old.expires, tags=old.tags)
                new.once = old.once_and(token, letter + body)
                self._shelf.write(key, name, new, [body], total)
        return total

    def cas(self, key: str, expected: object, value: object, terms: Terms, once: str) -> bool:
        """Put a value if the key still has the expected one."""
        name = encode_name(key)
        token = record.check_token(once)
        letter, pieces = codec.encode(value, self._serializer)
        expires, marks = terms
        with translated(self._root.path):
            self._root.ensure()
            with self._root.shared, self._shelf.turn(name, needed=True):
                found = self._shelf.find(key)
                new = record.Record(letter, b"", expires=expires, tags=marks)
                if found is not None and found[0].result_of(token) is not None:
                    return True
                if not self._holds(found, expected):
                    return False
                before = new if found is None else found[0]
                new.once = before.once_and(token, b"t")
                self._shelf.write(key, name, new, pieces, value)
        return True

    def expire(self, key: str, expires: int | None) -> bool:
        """Let a key be gone at this moment, None: never; False if it is not there."""
        name = encode_name(key)
        if not self._root.exists:
            return False
        with translated(self._root.path), self._root.shared, self._shelf.turn(name, needed=True):
            found = self._shelf.find(key)
            if found is None:
                return False
            found[0].expires = expires
            self._shelf.write(key, name, found[0])
        return True

    def take(self, key: str, look: Callable[[Found], Any]) -> Any:
        """Remove a key; return what `look` makes of it, NOTHING if it was not there."""
        name = encode_name(key)
        if not self._root.exists:
            return NOTHING
        with translated(self._root.path), self._root.shared, self._shelf.turn(name):
            found = self._shelf.find(key, dead=True)
            if found is None:
                return NOTHING
            value = look(found) if found[0].is_alive(self._root.now()) else NOTHING
            self._shelf.remove(key)
            return value

    def sweep(self) -> int:
        """Remove the files of keys whose time is over; return how many."""
        if not self._root.exists:
            return 0
        removed = 0
        with translated(self._root.path), self._root.shared:
            self._shelf.names.present()
            for key in sorted(self._shelf.names.special):
                with self._shelf.turn(encode_name(key)):
                    found = self._shelf.find(key, dead=True)
                    if found is not None and not found[0].is_alive(self._root.now()):
                        self._shelf.remove(key)
                        removed += 1
        return removed

    def _holds(self, found: Found | None, expected: object) -> bool:
        if expected is ABSENT or found is None:
            return expected is ABSENT and found is None
        if isinstance(expected, Version):
            return expected == version_of(found[1])
        body = self._shelf.body(found[0])
        return body is not None and codec.same(found[0].letter, body, expected, self._serializer)


def version_of(place: Place) -> Version:
    """Return which value lies in a place."""
    return Version(f"{place.mtime_ns:x}-{place.inode:x}-{place.size:x}")


def _number(value: float) -> tuple[bytes, bytes]:
    letter, pieces = codec.encode(value)
    return letter, bytes(pieces[0])
