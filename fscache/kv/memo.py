"""`@memoize`: a function's results, kept for every process of the root.

The key says what was called, readably: `slow.model.simulate@1(steps=100, seed=7)`. It has the
function's name, a version, and every argument with its name, defaults included, so that `f(1)` and
`f(x=1)` are one call. Long or unprintable arguments stand in it as a SHA-256 of their encoding.

Results are what `kv.codec` can hold, and come back as it gives them (tuples as lists, arrays read-only,
also in the very call that computed them, so that the first call is not the odd one out). A call that
raises is not kept. Two processes that need one result at once both compute it: the function must not
mind.
"""

from __future__ import annotations

import functools
import hashlib
import inspect

from fscache.kv import codec
from fscache.kv.checks import ttl_seconds
from fscache.kv.face import NOTHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fscache.kv.face import KeyValues

_LONGEST = 200  # characters of arguments that a key spells out
_SPELLED = frozenset({str, int, float, bool, type(None)})


def memoize(
    store: Callable[[], KeyValues],
    function: Callable[..., Any] | None,
    *,
    ttl: float | None,
    version: int | str,
    name: str | None,
) -> Any:
    """Decorate a function so that its results are kept.

    Args:
        store: Returns the store to keep them in, each time anew.
        function: The function; None returns the decorator.
        ttl: Seconds after which a result is computed again.
        version: To be changed with what the function does: results of another version are not used.
        name: What keys call the function; its module and qualified name by default.

    Returns:
        The function, with `key(*args, **kwargs)`, which says what a call's key is, and
        `__wrapped__`, which is the function as it was.

    Raises:
        TypeError: it is no function, or one without a name (`functools.partial`) and none is given, or a
            coroutine or a generator: what its call returns is no result yet. When called: an argument or
            a result is no value for a store.
        ValueError: `ttl` is not positive.
    """
    if function is None:
        return lambda given: memoize(store, given, ttl=ttl, version=version, name=name)
    if not callable(function):
        raise TypeError(f"memoize decorates a function, not {function!r:.100}")
    ttl = ttl_seconds(ttl)
    if not name and not hasattr(function, "__qualname__"):
        raise TypeError(f"{function!r:.100} has no name of its own: give it one, name=")
    called = name or f"{function.__module__}.{function.__qualname__}"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{called} returns no value that could be kept")
    signature = inspect.signature(function)

    def key(*args: Any, **kwargs: Any) -> str:
        """Return the key of a call's result."""
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return f"{called}@{version}({_spell(bound.arguments)})"

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        kept = store()
        at = key(*args, **kwargs)
        value = kept.get(at, NOTHING)
        if value is NOTHING:
            result = function(*args, **kwargs)
            kept.put(at, result, ttl=ttl)
            value = kept.get(at, result)  # its ttl may have passed already
        return value

    call.key = key  # type: ignore[attr-defined]
    return call


def _spell(arguments: dict[str, Any]) -> str:
    encoded = codec.encode_whole(codec.in_order(list(map(list, arguments.items()))))
    if all(type(value) in _SPELLED for value in arguments.values()):
        text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        if len(text) <= _LONGEST and text.isprintable():
            return text
    return hashlib.sha256(encoded).hexdigest()
