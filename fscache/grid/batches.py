"""Which worker gets which shards, in what portions; and putting their results together. Pure.

One task for each shard costs the scheduler a millisecond a shard, one for each worker leaves the fast
ones idle at the end. So a worker's shards come in portions that shrink: half of what is left, then half
of that, down to an eighth of all; smaller ones cost more than the end of a run can win by them. Shards
stay in order within a portion, and results carry the range of shards that they stand for, so a reducer
needs to be associative only: what it is given is always in the order of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Reducer = Callable[[Any, Any], Any]


class Item(NamedTuple):
    """One piece of work."""

    number: int
    weight: float
    holders: Sequence[str]
    """The workers that have its data; rather there than elsewhere."""


class Batch(NamedTuple):
    """A portion for one worker."""

    worker: str
    indices: list[int]


class Stretch(NamedTuple):
    """The reduced value of the pieces `start` to `end`, the last one excluded."""

    start: int
    end: int
    value: Any


def plan(items: Iterable[Item], threads: Mapping[str, int], *, single: bool = False) -> list[Batch]:
    """Return portions for workers, the largest first.

    Args:
        items: The pieces, in order.
        threads: Threads by worker.
        single: Portions of one piece, whatever that costs.
    """
    listed = list(items)
    mine = assign(listed, threads)
    batches = []
    for worker, indices in mine.items():
        left = indices
        least = -(-len(indices) // (8 * threads[worker]))
        while left:
            size = 1 if single else max(least, -(-len(left) // (2 * threads[worker])))
            batches.append(Batch(worker, left[:size]))
            left = left[size:]
    return sorted(batches, key=lambda batch: -len(batch.indices))


def append(done: list[Stretch], stretch: Stretch, reducer: Reducer | None) -> None:
    """Add a stretch behind those that are done; reduced into the last one if it follows on it."""
    if reducer is not None and done and done[-1].end == stretch.start:
        last = done[-1]
        done[-1] = Stretch(last.start, stretch.end, reducer(last.value, stretch.value))
    else:
        done.append(stretch)


def merge(stretches: Iterable[Stretch], reducer: Reducer | None) -> list[Stretch]:
    """Return stretches in order, those that touch reduced to one; without a reducer only in order."""
    merged: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each.start):
        append(merged, stretch, reducer)
    return merged


def assign(items: list[Item], threads: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the pieces for each worker: as much as its threads are of all, rather what it holds."""
    total = sum(item.weight for item in items)
    share = total / max(1, sum(threads.values()))
    room = {worker: count * share for worker, count in threads.items()}
    mine: dict[str, list[int]] = {worker: [] for worker in threads}
    last = ""
    for item in items:
        candidates = [worker for worker in item.holders if worker in room] or list(room)
        # Neighbours stay together while their worker has room: one stretch instead of many.
        if last not in candidates or room[last] < item.weight / 2:
            last = max(candidates, key=room.__getitem__)
        room[last] -= item.weight
        mine[last].append(item.number)
    return mine
