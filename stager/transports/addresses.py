"""Addresses that are checked before anything connects to them.

A name is resolved once: what was checked is what is connected to, whatever DNS answers a moment later.
A connection that is refused only once it stands would already have told its maker that somebody
listens there.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def checked(host: str, port: int, check: Callable[[str], None]) -> Iterator[str]:
    """Yield the addresses of `host` in the order to try them, each once `check` has let it pass.

    Raises:
        OSError: the name cannot be resolved.
        Exception: whatever `check` raises of an address that is to be refused.
    """
    for _family, _kind, _protocol, _name, where in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        address = str(where[0])
        check(address)
        yield address
