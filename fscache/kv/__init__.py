"""Key-values: `fscache.kv.put("run_42/loss", 0.17)`, and the same for every process of the root.

    from fscache import kv

    kv.put("run_42/loss", 0.17, ttl=86400, tags=["run_42"])
    kv.get("run_42/loss")
    kv.incr("run_42/steps")
    metrics = kv.store("simulation_123")        # another namespace, the same methods
    kv["a"] = 1; "a" in kv; len(kv); del kv["a"]

The functions here work on the default cache's store named `default`: on this machine's root, or on a
server after `fscache.use_remote`. What they promise is told in `fscache.kv.face` and, for a root, in
`fscache.kv.local`; what a value may be, in `fscache.kv.codec`.
"""

from __future__ import annotations

import sys
from types import ModuleType

from fscache.kv.face import ABSENT, REQUIRED, KeyValues, Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from fscache.kv.codec import Serializer
    from fscache.kv.face import Pairs, Watch

__all__ = [
    "ABSENT",
    "KeyValues",
    "Version",
    "cas",
    "default",
    "delete",
    "expire",
    "flush",
    "get",
    "incr",
    "install",
    "items",
    "keys",
    "memoize",
    "multiget",
    "multiput",
    "pop",
    "put",
    "setdefault",
    "store",
    "stores",
    "sweep",
    "tagged",
    "tags",
    "ttl",
    "values",
    "version",
    "watch",
]


def _of_package() -> KeyValues:
    """Return the key-values of the default cache.

    The package above decides what that is, a root or a server. It is asked by name: this module is
    below the caches and imports neither of them.
    """
    found: KeyValues = sys.modules["fscache"].default().kv
    return found


_factory: Callable[[], KeyValues] = _of_package


def install(factory: Callable[[], KeyValues] | None) -> None:
    """Have the functions of this module work on what `factory` returns, None: the default cache's."""
    global _factory  # noqa: PLW0603 - the one process-wide default
    _factory = factory or _of_package


def default() -> KeyValues:
    """Return the store that the functions of this module work on."""
    return _factory()


def put(key: str, value: object, *, ttl: float | None = None, tags: Iterable[str] = ()) -> None:
    """Keep a value; see `KeyValues.put`."""
    _factory().put(key, value, ttl=ttl, tags=tags)


def get(key: str, default: Any = REQUIRED) -> Any:
    """Return a key's value; see `KeyValues.get`."""
    return _factory().get(key, default)


def multiget(keys: Iterable[str], default: Any = REQUIRED) -> dict[str, Any]:
    """Return many values by key; see `KeyValues.multiget`."""
    return _factory().multiget(keys, default)


def multiput(pairs: Pairs, *, ttl: float | None = None, tags: Iterable[str] = ()) -> None:
    """Keep many values; see `KeyValues.multiput`."""
    _factory().multiput(pairs, ttl=ttl, tags=tags)


def delete(key: str) -> bool:
    """Remove a key; False if it was not there."""
    return _factory().delete(key)


def pop(key: str, default: Any = REQUIRED) -> Any:
    """Remove a key and return its value; see `KeyValues.pop`."""
    return _factory().pop(key, default)


def setdefault(key: str, default: Any = None) -> Any:
    """Return a key's value; put `default` first where there is none."""
    return _factory().setdefault(key, default)


def keys(prefix: str = "") -> list[str]:
    """Return the keys that begin with `prefix`, sorted."""
    return _factory().keys(prefix)


def items(prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield keys and values; see `KeyValues.items`."""
    return _factory().items(prefix)


def values(prefix: str = "") -> Iterator[Any]:
    """Yield values; see `KeyValues.values`."""
    return _factory().values(prefix)


def incr(key: str, delta: float = 1, *, default: float = 0) -> Any:
    """Add to a number and return the sum; see `KeyValues.incr`."""
    return _factory().incr(key, delta, default=default)


def cas(
    key: str,
    expected: object,
    value: object,
    *,
    ttl: float | None = None,
    tags: Iterable[str] = (),
) -> bool:
    """Put a value if the key still has the expected one; see `KeyValues.cas`."""
    return _factory().cas(key, expected, value, ttl=ttl, tags=tags)


def version(key: str) -> Version:
    """Return which value a key has now, for `cas`; see `KeyValues.version`."""
    return _factory().version(key)


def expire(key: str, ttl: float | None) -> bool:
    """Let a key be gone after `ttl` seconds, None: never; False if it is not there."""
    return _factory().expire(key, ttl)


def ttl(key: str) -> float | None:
    """Return the seconds that a key has left, None for ever."""
    return _factory().ttl(key)


def tags(key: str) -> tuple[str, ...]:
    """Return a key's tags."""
    return _factory().tags(key)


def tagged(tag: str) -> list[str]:
    """Return the keys that have this tag, sorted."""
    return _factory().tagged(tag)


def sweep() -> int:
    """Remove the files of keys whose time is over; return how many."""
    return _factory().sweep()


def flush() -> None:
    """Make all that was put durable now; see `KeyValues.flush`."""
    _factory().flush()


def watch(prefix: str = "", timeout: float | None = None) -> Watch:
    """Return the changes of keys, from now on, as an iterator; see `KeyValues.watch`."""
    return _factory().watch(prefix, timeout)


def memoize(
    function: Callable[..., Any] | None = None,
    *,
    ttl: float | None = None,
    version: int | str = 1,
    name: str | None = None,
) -> Any:
    """Decorate a function so that its results are kept; see `fscache.kv.memo.memoize`."""
    from fscache.kv.memo import memoize as decorate

    return decorate(default, function, ttl=ttl, version=version, name=name)


def store(name: str, *, serializer: Serializer | None = None) -> KeyValues:
    """Return another store of the same root or server; see `KeyValues.store`."""
    return _factory().store(name, serializer=serializer)


def stores() -> list[str]:
    """Return the names of the stores that hold something."""
    return _factory().stores()


class _Mapping(ModuleType):
    """This module, as a mapping: Python looks such methods up in the class, a module's too."""

    def __getitem__(self, key: str) -> Any:
        return _factory()[key]

    def __setitem__(self, key: str, value: object) -> None:
        _factory()[key] = value

    def __delitem__(self, key: str) -> None:
        del _factory()[key]

    def __contains__(self, key: object) -> bool:
        return key in _factory()

    def __iter__(self) -> Iterator[str]:
        return iter(_factory())

    def __len__(self) -> int:
        return len(_factory())

    def __reduce__(self) -> tuple[Any, ...]:
        # cloudpickle knows modules by their very class; functions that use this one travel by it.
        from importlib import import_module

        return import_module, (self.__name__,)

    def __bool__(self) -> bool:
        # Whoever asks whether there is such a module must not have a store listed, or be told "no".
        return True


sys.modules[__name__].__class__ = _Mapping
