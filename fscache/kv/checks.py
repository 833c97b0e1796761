"""What may be the name of a store, and a key's tags."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def tag_words(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are kept: each once, sorted; raises TypeError."""
    if isinstance(tags, str):
        raise TypeError("tags are a list of words, not one word")
    return tuple(sorted(set(tags)))


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
