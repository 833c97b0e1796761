"""Repairing what verify found: out of the way with it, and the bytes from their URL again.

Nothing is deleted but leftovers: what cannot be believed goes to `quarantine/`.
"""

from __future__ import annotations

import os

from fscache.admin import findings
from fscache.errors import FscacheError
from fscache.fs import atomic
from fscache.fs.lock import try_flock
from fscache.fs.walk import remove_empty
from fscache.objects.layout import parse_address
from fscache.records.journal import OBJECT, PURGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.admin.findings import Finding
    from fscache.admin.keeper import Keeper

_BAD_OBJECTS = (findings.FLIPPED, findings.TRUNCATED, findings.MISNAMED)


class Repairer:
    """Repairs one root, a finding at a time."""

    def __init__(self, keeper: Keeper, refetch: Callable[[str], object]) -> None:
        """Repair the root of `keeper`; `refetch` brings a URL that is not there, or raises."""
        self._keeper = keeper
        self._root = keeper.root
        self._refetch = refetch

    def repair(self, finding: Finding) -> None:
        """Do what can be done, and say in the finding what was done, or why not."""
        try:
            done = self._repair(finding)
        except FileNotFoundError:
            finding.detail += "; gone meanwhile"
        except (OSError, FscacheError) as exc:
            why = getattr(exc, "strerror", None) or str(exc)
            finding.detail += f"; not repaired: {why}"
        else:
            finding.repaired = done

    def _repair(self, finding: Finding) -> str:
        objects = f"{self._root.path}/objects/"
        if finding.what in _BAD_OBJECTS and finding.path.startswith(objects):
            return self._replace(finding)
        if finding.what == findings.DANGLING:
            return self._fetch(finding)
        if finding.what == findings.ORPHANED:
            catalog = self._keeper.open()
            try:
                catalog.look_at([finding.path[len(objects) :].replace("/", "")])
            finally:
                catalog.close()
            return "entered into the catalog"
        if finding.what == findings.LEFTOVER:
            return self._sweep(finding.path)
        if finding.what == findings.UNREADABLE:
            return ""  # a disk or permissions: nothing that we could mend
        self._set_aside(finding.path)
        return "moved to quarantine"

    def _replace(self, finding: Finding) -> str:
        path = finding.path
        address = path[len(f"{self._root.path}/objects/") :].replace("/", "")
        self._root.objects().quarantine(path, f"{self._root.path}/quarantine")
        self._root.journal.append(PURGE, OBJECT, address, address, 0)
        done = "moved to quarantine"
        fetched = self._fetch(finding)
        return f"{done}, {fetched}" if fetched else done

    def _fetch(self, finding: Finding) -> str:
        source = self._keeper.sources["url"]
        urls = [name for name in finding.names if source.look(name) is not None]
        if not urls:
            finding.detail += "; no URL to fetch it from"
            return ""
        failed: list[tuple[str, FscacheError]] = []
        for url in urls:
            try:
                if not self._is_there(url):
                    self._refetch(url)
            except FscacheError as exc:
                failed.append((url, exc))
        for url, error in failed:
            if not self._is_there(url):  # else another URL has brought the same bytes
                raise error
        return "fetched again"

    def _is_there(self, url: str) -> bool:
        named = self._keeper.sources["url"].look(url)
        return named is not None and os.path.exists(
            self._root.objects().locate(*parse_address(named.address))
        )

    def _set_aside(self, path: str) -> None:
        directory = f"{self._root.path}/quarantine"
        self._root.writer.make_directories(directory)
        target = f"{directory}/stray-{os.path.basename(path)}.{os.urandom(4).hex()}"
        atomic.move(path, target)
        remove_empty(os.path.dirname(path), f"{self._root.path}/objects")

    def _sweep(self, path: str) -> str:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
            return "removed"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            # Whoever fetches holds the lock, however long the server has been silent.
            if not try_flock(fd):
                return ""
            atomic.remove(path)
            return "removed"
        finally:
            os.close(fd)
