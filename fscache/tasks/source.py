"""Task records as the catalog sees them: the objects that their buffers are; those are never purged.

An entry of the catalog is the naming of an object by a record, `<msg_id>/<address>`. Records without
large buffers name nothing and are not in the catalog.
"""

from __future__ import annotations

import os

from fscache.objects.layout import format_address, parse_address
from fscache.records.sources import Named
from fscache.tasks import frames, snapshot
from fscache.tasks.core import Core
from fscache.tasks.cull import Limits
from fscache.tasks.keep import RootKeeper, reference_name
from fscache.tasks.log import FileLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.records.piecework import Share
    from fscache.records.root import Root


class TaskSource:
    """The objects that the task records of one root name; see `fscache.records.sources.Source`.

    Where a newer version of this program has written task records, what they name cannot be known:
    asking is a FormatError, and nothing is purged.
    """

    purgeable = False

    def __init__(self, root: Root) -> None:
        """Read the records of `root`."""
        self._root = root
        self._core: Core | None = None

    def scan(self) -> Iterator[Named]:
        """Yield every naming of an object by a record."""
        core = self._open()
        try:
            core.refresh()
            for msg_id, row in core.index.rows.items():
                for reference in core.index.named_by(row):
                    yield self._named(
                        core, msg_id, row, format_address(*frames.unpack_reference(reference))
                    )
        finally:
            core.log.close()

    def share(self, block: int) -> Share | None:  # noqa: ARG002 - the protocol's
        """Return None: they lie in one log."""
        return None

    def look(self, name: str) -> Named | None:
        """Return the naming `<msg_id>/<address>` if the record has it now."""
        msg_id, _, address = name.rpartition("/")
        try:
            reference = frames.pack_reference(*parse_address(address))
        except ValueError:
            return None
        if self._core is None:  # kept: one look follows another, and opening takes far longer
            self._core = self._open()
        core = self._core
        try:
            core.refresh()
            row = core.index.rows.get(msg_id)
            if row is None or reference not in core.index.named_by(row):
                return None
            return self._named(core, msg_id, row, address)
        finally:
            core.log.close()

    def remove(self, name: str, address: str) -> bool:  # noqa: ARG002 - the protocol's
        """Remove nothing: nobody can fetch a task's buffers again."""
        return False

    def _open(self) -> Core:
        log = FileLog(self._root)
        return Core(
            log,
            RootKeeper(self._root),
            now=self._root.now,
            limits=Limits(),
            load=lambda index: snapshot.load(index, log),
        )

    def _named(self, core: Core, msg_id: str, row: int, address: str) -> Named:
        try:
            size = os.stat(self._root.objects().locate(*parse_address(address))).st_size
        except FileNotFoundError:
            size = 0  # verify reports it
        stored = core.index.added[row] / 1e6
        return Named(reference_name(msg_id, address), address=address, size=size, stored=stored)
