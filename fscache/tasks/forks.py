"""What holds locks and threads, told in a forked child that those are its parent's."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from weakref import WeakSet


class Forking(Protocol):
    """Something that a child goes on with."""

    def forked(self) -> None:
        """Go on as a child process: no thread is there, and a lock may be held for ever."""


_all: WeakSet[Forking] = weakref.WeakSet()


def tell(each: Forking) -> None:
    """Have `forked` called in children from now on, for as long as it lives."""
    _all.add(each)


def _after_fork() -> None:
    for each in list(_all):
        each.forked()


os.register_at_fork(after_in_child=_after_fork)
