"""Which records to cull: the oldest completed ones, when there are too many. Pure.

Pending tasks are never taken, however old: whoever runs one will want to say that it has completed.
"""

from __future__ import annotations

from dataclasses import dataclass

from fscache.errors import InvalidQueryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Limits:
    """When to cull; None is no limit.

    Attributes:
        records: The most completed records.
        size: The most bytes of buffers.
        age: The longest time since submission, in seconds.
        fraction: Once over a limit, the share of it that is culled at once.
    """

    records: int | None = None
    size: int | None = None
    age: float | None = None
    fraction: float = 0.1

    def __post_init__(self) -> None:
        """Check them; raises InvalidQueryError."""
        for name in ("records", "size", "age"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise InvalidQueryError(f"{name} is a number from 0, not {value!r:.80}")

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self.records is not None or self.size is not None or self.age is not None


@dataclass(slots=True)
class Candidate:
    """A completed record: its row, its instant of submission if it has one, bytes of its buffers."""

    row: int
    submitted: int | None
    size: int


def excess(limits: Limits, records: int, size: int) -> tuple[int, int]:
    """Return how many records, and how many bytes, are to go; 0 and 0 below the limits."""
    too_many = too_big = 0
    if limits.records is not None and records > limits.records:
        # At least one, or a small limit with a small fraction would never be kept.
        too_many = max(int(limits.fraction * limits.records), records - limits.records, 1)
    if limits.size is not None and size > limits.size:
        too_big = size - int(limits.size * (1 - limits.fraction))
    return too_many, too_big


def choose(candidates: Iterable[Candidate], count: int, size: int, before: int | None) -> list[int]:
    """Return the rows to cull.

    Args:
        candidates: Completed records, oldest first.
        count: How many have to go.
        size: How many bytes have to go.
        before: Whatever was submitted before this instant goes.
    """
    rows: list[int] = []
    freed = 0
    for candidate in candidates:
        old = before is not None and (
            candidate.submitted is not None and candidate.submitted < before
        )
        if not old and len(rows) >= count and freed >= size:
            break
        rows.append(candidate.row)
        freed += candidate.size
    return rows
