"""How a node proves to itself that it sees this server's own root, and not one that looks like it.

At each start the server writes a random number into `<root>/locks/server`; `server.about` tells the
same number over the wire. Whoever reads it at the path shares the root: a copy made before the start
has another one, and a path that only happens to exist has none.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from fscache.records.root import translated

if TYPE_CHECKING:
    from fscache.records.root import Root

FILE = "locks/server"


def light(root: Root) -> str:
    """Write a new number into the root and return it."""
    identity = secrets.token_hex(16)
    with translated(root.path):
        root.writer.write(f"{root.path}/{FILE}", identity.encode("ascii"))
    return identity
