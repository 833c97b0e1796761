"""Every kind of entry that a root holds, for the catalog, reindex, purge and verify.

A kind that is missing here is invisible to `admin reindex`, and what its entries name is not kept from
a purge: whoever adds a kind adds it here.
"""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.records.root import Root
    from fscache.records.sources import Source

_KINDS = ("url", "kv", "task")


def sources(root: Root) -> Mapping[str, Source]:
    """Return the sources of a root by kind."""
    return _Sources(root)


class _Sources(Mapping[str, "Source"]):
    """Each is made, and its modules are imported, when asked for: most listings ask for none."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._made: dict[str, Source] = {}

    def __getitem__(self, kind: str) -> Source:
        found = self._made.get(kind)
        if found is None:
            found = self._made[kind] = _make(kind, self._root)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_KINDS)

    def __len__(self) -> int:
        return len(_KINDS)

    def __contains__(self, kind: object) -> bool:
        return kind in _KINDS


def _make(kind: str, root: Root) -> Source:
    if kind == "url":
        from fscache.urls.source import URLSource

        return URLSource(root)
    if kind == "kv":
        from fscache.kv.source import KVSource

        return KVSource(root)
    if kind == "task":
        from fscache.tasks.source import TaskSource

        return TaskSource(root)
    raise KeyError(kind)
