"""Every kind of entry that a root holds, for the catalog, reindex, purge and verify.

A kind that is missing here is invisible to `admin reindex`, and what its entries name is not kept from
a purge: whoever adds a kind adds it here.
"""

from __future__ import annotations

from fscache.kv.source import KVSource
from fscache.tasks.source import TaskSource
from fscache.urls.source import URLSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.records.root import Root
    from fscache.records.sources import Source


def sources(root: Root) -> dict[str, Source]:
    """Return the sources of a root by kind."""
    return {"url": URLSource(root), "kv": KVSource(root), "task": TaskSource(root)}
