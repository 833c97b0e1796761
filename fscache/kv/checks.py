"""What may be the name of a store, keys and pairs, tags and ttl, and a number to count with. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.kv.face import Pairs


def text(value: object, what: str) -> str:
    """Return a text (a key, a prefix, a tag); raises TypeError for what is none."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {type(value).__name__}: {value!r:.100}")
    return value


def seconds_to_wait(timeout: float | None) -> float | None:
    """Return a time to wait for, None for ever.

    Raises:
        TypeError: not a number.
        ValueError: not a number, says its name.
    """
    if timeout is None:
        return None
    seconds = plain_number(timeout)
    if seconds is None:
        raise TypeError(f"a timeout is a number of seconds, not {timeout!r:.100}")
    if seconds != seconds:  # noqa: PLR0124 - only nan is not itself; math is one more import
        raise ValueError("a timeout is a number of seconds, not nan")
    return seconds


def several_keys(keys: Iterable[str]) -> Iterable[str]:
    """Return keys, if they are not one: its letters are keys, too; raises TypeError."""
    if isinstance(keys, str):
        raise TypeError(f"keys are a list of texts, not one text: did you mean [{keys!r:.100}]?")
    return keys


def several_pairs(pairs: Pairs) -> Iterator[tuple[str, object]]:
    """Return pairs one by one; a text of two letters is none: raises TypeError."""
    return iter(pairs.items()) if hasattr(pairs, "items") else map(_pair, pairs)


def _pair(pair: tuple[str, object]) -> tuple[str, object]:
    if isinstance(pair, str):
        raise TypeError(f"pairs are a dict, or keys with values, not texts: {pair!r:.100}")
    return pair


def tag_words(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are kept: each once, sorted; raises TypeError."""
    if isinstance(tags, str):
        raise TypeError("tags are a list of words, not one word")
    words = set(tags)
    for word in words:
        text(word, "a tag")
    return tuple(sorted(words))


def plain_number(value: object) -> float | None:
    """Return a number as Python's own int or float, None for what is none (as True is not)."""
    if type(value) is int or type(value) is float:
        return value
    from numbers import Real  # NumPy's numbers are known to it
    from operator import index

    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return index(value)  # type: ignore[arg-type]  # whether it has one is what is asked
    except TypeError:
        return float(value)


def number_to_count_with(value: object) -> float:
    """Return what `incr` adds, or adds to; raises TypeError."""
    found = plain_number(value)
    if found is None:
        raise TypeError(f"not a number to count with: {value!r:.100}")
    return found


def ttl_seconds(ttl: object) -> float | None:
    """Return a ttl in seconds, None for none.

    Raises:
        TypeError: not a number.
        ValueError: not a positive one.
    """
    if ttl is None:
        return None
    seconds = plain_number(ttl)
    if seconds is None:
        raise TypeError(f"a ttl is a number of seconds, not {type(ttl).__name__}: {ttl!r:.100}")
    if not 0 < seconds < 1e11:
        raise ValueError(f"a ttl is a positive number of seconds: {ttl!r:.100}")
    return seconds


def store_name(name: object) -> str:
    """Return a store's name if it is one: what it is called on disk, without escaping.

    Raises:
        ValueError: 1–100 bytes of UTF-8, no `/`, no control characters, no dot at the beginning.
        TypeError: not text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a store's name is text, not {type(name).__name__}")
    if (
        not 1 <= len(name.encode("utf-8", "surrogatepass")) <= 100
        or name.startswith(".")
        or "/" in name
        or not name.isprintable()
    ):
        raise ValueError(
            "a store's name has 1 to 100 bytes, no '/', no control characters and no dot at the "
            f"beginning: {name!r:.120}"
        )
    return str(name)
