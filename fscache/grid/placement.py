"""Which node gets which shards of a table. Pure.

Neighbouring shards go to one node, so that what is read together lies together; the copies of a shard
go to the nodes that follow. Nodes get equal shares of the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def place(sizes: Sequence[int], nodes: Sequence[str], replicas: int) -> list[list[str]]:
    """Return the nodes of each shard, the first one its home.

    Args:
        sizes: Of the shards, in bytes.
        nodes: Identities; their order is the order of the shards.
        replicas: Copies of each shard; no more than there are nodes.
    """
    if not nodes:
        return [[] for _ in sizes]
    copies = min(replicas, len(nodes))
    total = sum(sizes) or 1
    placed = []
    before = 0
    for size in sizes:
        # The middle of the shard says where it belongs.
        home = min(len(nodes) - 1, (2 * before + size) * len(nodes) // (2 * total))
        placed.append([nodes[(home + step) % len(nodes)] for step in range(copies)])
        before += size
    return placed
