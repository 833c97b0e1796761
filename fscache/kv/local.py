"""Key-values in the root of this machine: an entry for each, large bodies as objects.

Promises, whatever is killed whenever, by any number of processes at once:

- a reader sees a whole old or a whole new value, and sees a put as soon as it has returned anywhere;
- what `put` acknowledged survives the death of the process, and a loss of power within the window of
  `fs.group` where the root's durability says so;
- writers of one key take turns, so increments add up and `cas` and `pop` have one winner each;
- what is on disk and cannot be read (torn, of a later version, its object gone) is a miss or an error,
  never another value.

Not promised: that several keys change together.
How the files are written is told in `kv.shelf`, how what is there is changed in `kv.changes`.
"""

from __future__ import annotations

import os
from itertools import islice

from fscache.kv import checks, codec, record
from fscache.kv.changes import Changes, version_of
from fscache.kv.face import NOTHING, REQUIRED, KeyValues
from fscache.kv.shelf import Shelf, encode_name
from fscache.records.entryfile import name_hash
from fscache.records.root import translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from fscache.kv.codec import Serializer
    from fscache.kv.face import Pairs, Version, Watch
    from fscache.kv.shelf import Found
    from fscache.records.root import Root

_BATCH = 100  # puts for which the root's shared lock is held at once
MEMORY = 32 * 1024 * 1024  # bytes of recent values that a store remembers


class LocalStore(KeyValues):
    """One store of one root."""

    def __init__(
        self,
        root: Root,
        name: str = "default",
        *,
        memory: int = MEMORY,
        serializer: Serializer | None = None,
        hash_name: Callable[[bytes], str] = name_hash,
    ) -> None:
        """Use a store; nothing is written before something is put.

        Args:
            root: The root.
            name: The store's name.
            memory: Bytes of recent values to remember.
            serializer: For values of other types than `kv.codec` lists, such as the module `pickle`.
                What it reads it may run: use it where all who write to the root are trusted.
            hash_name: The address of a name; a parameter so that tests can make collisions.

        Raises:
            ValueError: not a name for a store.
        """
        self.name = checks.store_name(name)
        self._root = root
        self._serializer = serializer
        self._memory_limit = memory
        self._hash_name = hash_name
        self._siblings = {name: self}
        self._shelf = Shelf(root, name, memory=memory, serializer=serializer, hash_name=hash_name)
        self._memory = self._shelf.memory
        self._changes = Changes(root, self._shelf, serializer)

    # -- reading -------------------------------------------------------------------------------

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        known = self._memory.get(key)
        if known is not None:
            path, inode, size, mtime_ns, letter, value, frozen, expires, _ = known
            try:
                status = os.stat(path)
            except OSError:
                pass
            else:
                if (
                    status.st_ino == inode
                    and status.st_mtime_ns == mtime_ns
                    and status.st_size == size
                ):
                    if expires is not None and self._root.now() * 1e6 >= expires:
                        return _missing(key, default)
                    return value if frozen else self._shelf.decode(letter, value, path)
        value = self._shelf.get(key)
        return _missing(key, default) if value is NOTHING else value

    def multiget(self, keys: Iterable[str], default: Any = REQUIRED) -> dict[str, Any]:
        get = self.get
        return {key: get(key, default) for key in checks.several_keys(keys)}

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        return self._shelf.find(key) is not None

    def version(self, key: str) -> Version:
        return version_of(self._there(key)[1])

    def ttl(self, key: str) -> float | None:
        expires = self._there(key)[0].expires
        return None if expires is None else expires / 1e6 - self._root.now()

    def tags(self, key: str) -> tuple[str, ...]:
        return self._there(key)[0].tags

    # -- writing -------------------------------------------------------------------------------

    def put(
        self, key: str, value: object, *, ttl: float | None = None, tags: Iterable[str] = ()
    ) -> None:
        name = encode_name(key)
        letter, pieces = codec.encode(value, self._serializer)
        expires, marks = self._terms(ttl, tags)
        new = record.Record(letter, b"", expires=expires, tags=marks)
        with translated(self._root.path):
            self._root.ensure()
            with self._root.shared, self._shelf.turn(name):
                self._shelf.write(key, name, new, pieces, value)

    def multiput(self, pairs: Pairs, *, ttl: float | None = None, tags: Iterable[str] = ()) -> None:
        items = checks.several_pairs(pairs)
        expires, marks = self._terms(ttl, tags)
        shelf = self._shelf
        with translated(self._root.path):
            self._root.ensure()
            # What gives the pairs may take its time, and a purge must not wait for it.
            while batch := list(islice(items, _BATCH)):
                with self._root.shared:
                    for key, value in batch:
                        name = encode_name(key)
                        letter, pieces = codec.encode(value, self._serializer)
                        new = record.Record(letter, b"", expires=expires, tags=marks)
                        with shelf.turn(name):
                            shelf.write(key, name, new, pieces, value)

    def delete(self, key: str) -> bool:
        return self._changes.take(key, lambda _found: True) is not NOTHING

    def pop(self, key: str, default: Any = REQUIRED) -> Any:
        # The value first: an error in reading it must not lose it.
        value = self._changes.take(
            key, lambda found: self._shelf.value(key, *found, remember=False)
        )
        return _missing(key, default) if value is NOTHING else value

    def incr(self, key: str, delta: float = 1, *, default: float = 0, once: str = "") -> Any:
        return self._changes.incr(key, delta, default, once)

    def cas(
        self,
        key: str,
        expected: object,
        value: object,
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
        once: str = "",
    ) -> bool:
        terms = self._terms(ttl, tags)
        return self._changes.cas(key, expected, value, terms, once)

    def expire(self, key: str, ttl: float | None) -> bool:
        return self._changes.expire(key, self._terms(ttl, ())[0])

    def sweep(self) -> int:
        return self._changes.sweep()

    def flush(self) -> None:
        group = self._root.grouped_writer.group
        if group is not None:
            with translated(self._root.path):
                group.flush()

    # -- listing -------------------------------------------------------------------------------

    def keys(self, prefix: str = "") -> list[str]:  # type: ignore[override]
        checks.text(prefix, "a prefix")
        if not self._root.exists:
            return []
        with translated(self._root.path):
            found = self._shelf.names.present(prefix)
            special = self._shelf.names.special
            if special:
                found = [key for key in found if key not in special or key in self]
        found.sort()
        return found

    def tagged(self, tag: str) -> list[str]:
        checks.text(tag, "a tag")
        if not self._root.exists:
            return []
        with translated(self._root.path):
            self._shelf.names.present()
            special = sorted(self._shelf.names.special)
            found = ((key, self._shelf.find(key)) for key in special)
            return [key for key, at in found if at is not None and tag in at[0].tags]

    def watch(self, prefix: str = "", timeout: float | None = None) -> Watch:
        from fscache.kv.watching import DirectoryWatch

        checks.text(prefix, "a prefix")
        shelf = self._shelf
        with translated(self._root.path):
            shelf.names.present()  # so that what is removed later can be named
            return DirectoryWatch(
                shelf.entries.top, self._root.entry_split.parts, shelf.names.key_of, prefix, timeout
            )

    def store(self, name: str, *, serializer: Serializer | None = None) -> LocalStore:
        known = self._siblings.get(name)
        if known is None or serializer is not None:
            known = LocalStore(
                self._root,
                name,
                memory=self._memory_limit,
                serializer=serializer,
                hash_name=self._hash_name,
            )
            if serializer is None:
                known._siblings = self._siblings
                known = self._siblings.setdefault(name, known)
        return known

    def stores(self) -> list[str]:
        from fscache.kv.names import leaves

        top = f"{self._root.path}/kv"
        parts = self._root.entry_split.parts
        with translated(self._root.path):
            return [
                name
                for name in (sorted(os.listdir(top)) if self._root.exists else ())
                if any(os.listdir(directory) for _, directory in leaves(f"{top}/{name}", parts))
            ]

    def __reduce__(self) -> tuple[Any, ...]:
        from fscache.kv.serializers import name_of

        root = self._root
        opened = {
            "now": root.now,
            "modes": root.modes,
            "durable": root.writer.durable,
            "object_split": root.object_split,
        }
        options = {"memory": self._memory_limit, "hash_name": self._hash_name}
        return _reopened, (root.path, opened, self.name, name_of(self._serializer), options)

    def __repr__(self) -> str:
        return f"LocalStore({self._root.path!r}, {self.name!r})"

    # -- inside --------------------------------------------------------------------------------

    def _there(self, key: str) -> Found:
        found = self._shelf.find(key)
        if found is None:
            raise KeyError(key)
        return found

    def _terms(self, ttl: float | None, tags: Iterable[str]) -> tuple[int | None, tuple[str, ...]]:
        """Return ttl and tags as a record has them; raises ValueError and TypeError."""
        seconds = checks.ttl_seconds(ttl)
        expires = None if seconds is None else int((self._root.now() + seconds) * 1e6)
        return expires, checks.tag_words(tags) if tags else ()


def _reopened(
    path: str,
    opened: dict[str, Any],
    name: str,
    serializer: Serializer | str | None,
    options: dict[str, Any],
) -> LocalStore:
    """Return a store that was pickled: of the same root, opened in the same way."""
    from fscache.kv.serializers import of_name
    from fscache.records.root import Root

    return LocalStore(Root(path, **opened), name, serializer=of_name(serializer), **options)


def _missing(key: str, default: Any) -> Any:
    if default is REQUIRED:
        raise KeyError(key)
    return default
