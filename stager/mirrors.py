"""Which mirror is asked next, after which pause, and when to give up. Pure.

The mirrors are asked in rounds, in the order given. One that fails for good (404, a wrong checksum)
drops out; one that may recover is asked again in the next round, after a pause. Rounds instead of
"five attempts here, then five there", because a second mirror is most often there to be quicker than
the retries of a dead first one.

One exception: where bytes are kept that only this mirror can go on with, it is asked once more before
the others, for the next one would have to start over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from credentials.errors import FscacheError
    from stager.retry import RetryPolicy


class Mirrors:
    """The round over `count` mirrors."""

    def __init__(self, count: int, policy: RetryPolicy, dice: Callable[[], float]) -> None:
        self._policy = policy
        self._dice = dice
        self._live = list(range(count))
        self._round = self._live[1:]
        self._failures = 0
        self._farthest = 0
        self._stayed = False
        self._retry_after: float | None = None
        self.current = 0
        self.causes: dict[int, FscacheError] = {}
        """The last error of each mirror asked, in the order of their first failure."""

    @property
    def recoverable(self) -> bool:
        """Whether a later request may find a mirror that goes on with what is kept."""
        return bool(self._live)

    def failed(self, error: FscacheError, at: int) -> float | None:
        """Choose what follows a failure of `current`; return the pause in s, None to give up.

        Args:
            error: What the mirror failed with.
            at: Bytes that are kept and that `current` could go on with; 0 for none.
        """
        self.causes[self.current] = error
        if at >= self._farthest + self._policy.progress:
            self._failures, self._stayed = 0, False
        self._farthest = max(self._farthest, at)
        if not self._policy.is_transient(error):
            self._live.remove(self.current)
        else:
            retry_after = getattr(error, "retry_after", None)
            if at and self._round and not self._stayed:
                self._stayed = True
                return self._policy.pause(1, retry_after, self._dice())
            if retry_after is not None:
                self._retry_after = max(retry_after, self._retry_after or 0.0)
        if self._round:
            self.current = self._round.pop(0)
            return 0.0
        return self._next_round()

    def _next_round(self) -> float | None:
        if not self._live:
            return None
        self._failures += 1
        pause = self._policy.pause(self._failures, self._retry_after, self._dice())
        if pause is None:
            return None
        self._retry_after = None
        self.current, *self._round = self._live
        return pause
