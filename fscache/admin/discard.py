"""Removing objects that were made for tasks and that no task names any more.

Unlike a purge, at once: waiting for the grace time would leave the disk full of what was just dropped.
So what anybody else may count on is left to a purge: what an entry names, what is pinned or leased, and
what was put or asked for since it was made.
"""

from __future__ import annotations

import os
import time

from fscache.admin.keeper import Keeper
from fscache.admin.removal import Remover
from fscache.objects.purge import Candidate
from fscache.records.root import translated
from fscache.records.segments import JournalGapError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fscache.records.root import Root

_HOLD_SECONDS = 0.02  # as a purge: writers wait for a few removals at most
_LOCK_SECONDS = 60.0


def discard(root: Root, addresses: Sequence[str]) -> int:
    """Remove those of these objects that nobody needs; return how many.

    Raises:
        LockTimeoutError: somebody held a lock for a minute.
        RootPermissionError: this user may not remove here.
    """
    removed = 0
    with translated(root.path):
        keeper = Keeper(root, say=_ignore, timeout=_LOCK_SECONDS)
        catalog = keeper.open()
        try:
            remover = Remover(keeper, catalog)
            named = "SELECT 1 FROM entries WHERE address = ?"
            left = [
                address
                for address in addresses
                if catalog.db.execute(named, (address,)).fetchone() is None
            ]
            while left:
                with root.exclusive(timeout=_LOCK_SECONDS):
                    try:
                        remover.catch_up()
                    except JournalGapError:
                        break  # who names what has to be found out anew: by the next purge
                    until = time.monotonic() + _HOLD_SECONDS
                    while left and time.monotonic() < until:
                        removed += _remove(remover, left.pop())
        finally:
            catalog.close()
    return removed


def _remove(remover: Remover, address: str) -> bool:
    try:
        status = os.stat(remover.path(address))
    except FileNotFoundError:
        return False
    # Accessed no later than written: nobody has put the same bytes or asked for them since.
    made = Candidate(address, status.st_size, status.st_blocks * 512, status.st_mtime)
    return remover.remove(made) is None


def _ignore(_said: str) -> None:
    """Say nothing of what was mended in the catalog: nobody asked for it here."""
