"""`KeyValues`: what every store of key-values can do, here or on a server.

A store says how to do the abstract methods; all else (the mapping face, `memoize`) rests on them.

Keys are text. Values are what `kv.codec` lists; arrays come back read-only, tuples as lists. A key
that is not there is a KeyError, as in a dict, unless a default is given; so None is a value like any
other. What has passed its `ttl` is not there.
"""

from __future__ import annotations

from _collections_abc import MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Protocol

    from fscache.kv.codec import Serializer

    Pairs = Mapping[str, object] | Iterable[tuple[str, object]]
    _Mapping = MutableMapping[str, Any]

    class Watch(Protocol):
        """The changes to a store's keys, as they happen."""

        def __iter__(self) -> Iterator[str]:
            """Return itself."""

        def __next__(self) -> str:
            """Wait for a change and return its key; ends when nothing changed for the timeout."""

        def wait(self, timeout: float | None = None) -> list[str]:
            """Wait for changes; return their keys, none if nothing changed for `timeout` seconds."""
else:
    _Mapping = MutableMapping


class _Mark:
    """A value that no caller can have meant as one."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


REQUIRED: Any = _Mark("REQUIRED")
"""The default of a default: there must be a value."""

ABSENT = _Mark("ABSENT")
"""What `cas` expects where there must be no value."""

NOTHING = _Mark("NOTHING")
"""A default that tells "not there" from every value."""


class Version(str):
    """Which of its successive values a key had; for `cas`. Good on the root it came from."""

    __slots__ = ()


class KeyValues(_Mapping):
    """A store of key-values: a mapping, and what many processes need besides.

    It can be pickled: the other process opens the same root, or asks the same server with a token of
    its own.
    """

    name: str
    """The store's name."""

    # -- what a store does ---------------------------------------------------------------------

    def put(
        self, key: str, value: object, *, ttl: float | None = None, tags: Iterable[str] = ()
    ) -> None:
        """Keep a value; one that is there is replaced, with its ttl and tags.

        Args:
            key: Any text.
            value: See the module `fscache.kv.codec`.
            ttl: Seconds after which it is gone; None keeps it.
            tags: Words to find it by.

        Raises:
            TypeError: the value has no place in a file, the key is not text, or the ttl no number.
            StoreError: it could not be written.
        """
        raise NotImplementedError

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        """Return a key's value, `default` where there is none and a default is given.

        Raises:
            KeyError: there is none.
            StoreError: it could not be read.
        """
        raise NotImplementedError

    def multiget(self, keys: Iterable[str], default: Any = REQUIRED) -> dict[str, Any]:
        """Return the values of many keys.

        Raises:
            KeyError: any is missing, and no default is given.
            TypeError: not a list of keys but one key.
            StoreError: it could not be read.
        """
        raise NotImplementedError

    def multiput(self, pairs: Pairs, *, ttl: float | None = None, tags: Iterable[str] = ()) -> None:
        """Keep many values; each on its own: a reader may see some of them before others."""
        raise NotImplementedError

    def delete(self, key: str) -> bool:
        """Remove a key; False if it was not there."""
        raise NotImplementedError

    def pop(self, key: str, default: Any = REQUIRED) -> Any:
        """Remove a key and return its value; of many callers at once, one gets it."""
        raise NotImplementedError

    def keys(self, prefix: str = "") -> list[str]:  # type: ignore[override]
        """Return the keys that begin with `prefix`, sorted."""
        raise NotImplementedError

    def incr(self, key: str, delta: float = 1, *, default: float = 0, once: str = "") -> Any:
        """Add to a number and return the sum; no increment of any process is lost.

        Args:
            key: A key whose value is such a number; its ttl and tags stay.
            delta: What to add: an int or float, NumPy's too, whose sum is an int or float.
            default: Where there is no value, add to this.
            once: A token of up to 64 characters: asked again with it, nothing is added again, and
                the sum of then is returned. A key remembers its last 64 tokens.

        Raises:
            TypeError: the value is no number.
        """
        raise NotImplementedError

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
        """Put a value if the key still has the expected one; False, and nothing done, if not.

        Args:
            key: The key.
            expected: A value, equal in type too; or a `Version`; or `ABSENT`.
            value: As for `put`.
            ttl: As for `put`.
            tags: As for `put`.
            once: A token, as for `incr`: asked again with it after a success, it is one again.
        """
        raise NotImplementedError

    def version(self, key: str) -> Version:
        """Return which value a key has now: take it first, then `get`, then `cas`.

        Raises:
            KeyError: it has none.
        """
        raise NotImplementedError

    def expire(self, key: str, ttl: float | None) -> bool:
        """Let a key be gone after `ttl` seconds from now, None: never; False if it is not there."""
        raise NotImplementedError

    def ttl(self, key: str) -> float | None:
        """Return the seconds that a key has left, None for ever; a KeyError if it is not there."""
        raise NotImplementedError

    def tags(self, key: str) -> tuple[str, ...]:
        """Return a key's tags; a KeyError if it is not there."""
        raise NotImplementedError

    def tagged(self, tag: str) -> list[str]:
        """Return the keys that have this tag, sorted."""
        raise NotImplementedError

    def sweep(self) -> int:
        """Remove the files of keys whose time is over; return how many."""
        raise NotImplementedError

    def flush(self) -> None:
        """Make all that was put durable now, where the root's durability is `power`."""
        raise NotImplementedError

    def watch(self, prefix: str = "", timeout: float | None = None) -> Watch:
        """Return the changes, from now on, to keys that begin with `prefix`, as an iterator.

        It blocks until there is a change (a put, a removal) and ends when there was none for
        `timeout` seconds. Changes of one key that follow quickly on each other may be told once; a
        change is never missed. That a ttl has passed is no change.
        """
        raise NotImplementedError

    def store(self, name: str, *, serializer: Serializer | None = None) -> KeyValues:
        """Return another store of the same root or server; made when something is put.

        Args:
            name: Its name.
            serializer: For values of other types than `kv.codec` lists, such as the module
                `pickle`. What it reads it may run: for stores to which only the trusted write.

        Raises:
            ValueError: not a name for a store: 1–100 bytes, no `/`, no control characters, no dot
                at the beginning.
        """
        raise NotImplementedError

    def stores(self) -> list[str]:
        """Return the names of the stores that hold something, sorted."""
        raise NotImplementedError

    # -- what follows from it ------------------------------------------------------------------

    def items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Yield keys and values, in order of the keys; what goes away meanwhile is left out."""
        for key in self.keys(prefix):
            value = self.get(key, NOTHING)
            if value is not NOTHING:
                yield key, value

    def values(self, prefix: str = "") -> Iterator[Any]:  # type: ignore[override]
        """Yield values, in order of their keys."""
        return (value for _, value in self.items(prefix))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return a key's value; put `default` first where there is none. One of many puts it."""
        while True:
            value = self.get(key, NOTHING)
            if value is not NOTHING:
                return value
            if self.cas(key, ABSENT, default):
                return self.get(key, default)

    def update(self, pairs: Pairs = (), /, **more: Any) -> None:  # type: ignore[override]
        """Keep many values; see `multiput`."""
        self.multiput({**dict(pairs), **more})

    def clear(self) -> None:
        """Remove every key."""
        for key in self.keys():
            self.delete(key)

    def memoize(
        self,
        function: Callable[..., Any] | None = None,
        *,
        ttl: float | None = None,
        version: int | str = 1,
        name: str | None = None,
    ) -> Any:
        """Decorate a function so that its results are kept here; see `kv.memo.memoize`."""
        from fscache.kv.memo import memoize

        return memoize(lambda: self, function, ttl=ttl, version=version, name=name)

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: object) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key, NOTHING) is not NOTHING

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())
