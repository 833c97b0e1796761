"""Which worker computes a step over which shards, and when. Pure.

A worker gets its shards in one portion if it can: one task costs a query less than many, and leaves
DuckDB more to do at once. Large shares come in several, of which a query has one at a time on each
thread; so queries that run at once take turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fscache.grid.batches import Item, assign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LARGEST = 256 << 20  # bytes of shards in one portion: a second or two of one thread


class Portion(NamedTuple):
    """Shards, by number, for one worker."""

    worker: str
    shards: list[int]


def rounds(
    items: Iterable[Item],
    threads: Mapping[str, int],
    *,
    single: bool = False,
    largest: float = _LARGEST,
) -> list[list[Portion]]:
    """Return portions, those that may run at once together.

    Args:
        items: The shards, with their size in bytes.
        threads: Threads by worker.
        single: Portions of one shard.
        largest: Bytes that a portion of several shards may have.
    """
    listed = list(items)
    weights = {item.number: item.weight for item in listed}
    waiting: dict[str, list[list[int]]] = {}
    for worker, numbers in assign(listed, threads).items():
        lanes = min(threads[worker], len(numbers))
        share = -(-len(numbers) // max(1, lanes))
        waiting[worker] = [
            piece
            for lane in range(lanes)
            for piece in _pieces(
                numbers[lane * share : (lane + 1) * share], weights, -1.0 if single else largest
            )
        ]
    made = []
    while any(waiting.values()):
        now = []
        for worker, pieces in waiting.items():
            now += [Portion(worker, piece) for piece in pieces[: threads[worker]]]
            del pieces[: threads[worker]]
        made.append(now)
    return made


def _pieces(
    numbers: Sequence[int], weights: Mapping[int, float], largest: float
) -> list[list[int]]:
    pieces: list[list[int]] = []
    size = 0.0
    for number in numbers:
        if pieces and size + weights[number] <= largest:
            pieces[-1].append(number)
            size += weights[number]
        else:
            pieces.append([number])
            size = weights[number]
    return pieces
