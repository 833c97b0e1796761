"""What systemd tells a service through its environment."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class SystemdVariables:
    """What systemd tells a service through its environment; all empty outside of it."""

    __slots__ = ("listen_fds", "listen_pid", "notify_socket", "watchdog_pid", "watchdog_usec")

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read the environment; the process's own by default."""
        env = os.environ if environ is None else environ  # noqa: TID251 - as in `config.load`
        self.notify_socket = env.get("NOTIFY_SOCKET", "")
        self.watchdog_usec = _whole(env.get("WATCHDOG_USEC")) or 0
        self.watchdog_pid = _whole(env.get("WATCHDOG_PID"))
        self.listen_fds = _whole(env.get("LISTEN_FDS")) or 0
        self.listen_pid = _whole(env.get("LISTEN_PID"))


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
