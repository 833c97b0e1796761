"""What a service tells systemd, and what it is handed: `sd_notify`, the watchdog, listening sockets.

A few datagrams to a UNIX socket; no library is worth that. Outside systemd everything here is a no-op.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fscache.config.systemd import SystemdVariables

_FIRST_FD = 3

READY = "READY=1"
RELOADING = "RELOADING=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


def notify(variables: SystemdVariables, *states: str) -> bool:
    """Tell systemd; False where nobody listens. Never raises: a service runs on without it."""
    path = variables.notify_socket
    if not path or path[0] not in "/@":
        return False
    address = f"\0{path[1:]}" if path[0] == "@" else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto("\n".join(states).encode("utf-8"), address)
    except OSError:
        return False
    return True


def watchdog_interval(variables: SystemdVariables) -> float | None:
    """Return how often to prove that we are alive, in seconds; None if nobody asks for it."""
    for_us = variables.watchdog_pid is None or variables.watchdog_pid == os.getpid()
    if not for_us or not variables.watchdog_usec:
        return None
    return variables.watchdog_usec / 1e6 / 3  # two chances to be late before the third


def inherited_socket(variables: SystemdVariables) -> socket.socket | None:
    """Return the listening socket that systemd opened for us, if it did."""
    if variables.listen_pid != os.getpid() or variables.listen_fds < 1:
        return None
    os.set_inheritable(_FIRST_FD, False)
    return socket.socket(fileno=_FIRST_FD)
