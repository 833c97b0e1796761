"""What goes to a server in one call, and what is too large for one. Pure.

A server takes 16 MiB of a document (`fscache.server.limits`), in which short bytes are base64, and 64 MiB
with what stands beside it; a value by itself goes as plain HTTP, of which it takes 64 MiB, too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST = 12 * 1024 * 1024
"""Bytes of a call's document that are filled with keys and values."""
_AROUND = 200  # a pair's tags
_KEY = 6  # bytes that a character of a key may become: `&#13;`, or base64 of four


def weight(key: str, *packed: bytes) -> int:
    """Return how many bytes of a document a key takes with these values; never too few."""
    return _KEY * len(key) + sum(len(each) * 4 // 3 + _AROUND for each in packed)


def portions(pairs: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Yield the pairs in order, as many at a time as one call takes; one at least."""
    portion: list[tuple[str, bytes]] = []
    filled = 0
    for key, packed in pairs:
        more = weight(key, packed)
        if portion and filled + more > MOST:
            yield portion
            portion, filled = [], 0
        portion.append((key, packed))
        filled += more
    if portion:
        yield portion
