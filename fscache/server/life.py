"""The process around a server: signals, systemd, the proof that it is alive."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fscache.errors import FscacheError
from fscache.server import notify

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.config import Config
    from fscache.config.systemd import SystemdVariables
    from fscache.server.service import Server

_log = logging.getLogger("fscache.server")
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_LOOK = 3600.0  # seconds; without a watchdog there is nothing to do between two signals
_PROBE = 10.0


def hold_signals() -> None:
    """Keep the signals that `live` waits for from interrupting any thread; call before the first."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def live(server: Server, variables: SystemdVariables, reread: Callable[[], Config]) -> None:
    """Run a started server until SIGTERM or SIGINT; SIGHUP reloads.

    Args:
        server: Started; stopped when this returns.
        variables: What systemd told us.
        reread: Returns the configuration as it is now.
    """
    interval = notify.watchdog_interval(variables)
    notify.notify(variables, notify.READY, f"STATUS=serving at {server.url}")
    try:
        while True:
            found = signal.sigtimedwait(_SIGNALS, interval or _LOOK)
            if found is None:
                # Not a timer's ping: the server must answer a request first. One that does not is
                # restarted by systemd.
                if interval is not None and server.alive and answers(server.url):
                    notify.notify(variables, notify.ALIVE)
            elif found.si_signo == signal.SIGHUP:
                _reload(server, variables, reread)
            else:
                break
    finally:
        notify.notify(variables, notify.STOPPING)
        server.stop()


def answers(url: str, timeout: float = _PROBE) -> bool:
    """Whether a server at `url` answers a request at all, in whatever way, within `timeout` s."""
    target = urlsplit(url)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(target.hostname or "", target.hostname or "")  # noqa: S104 - where it listens, not where we do
    try:
        sock = socket.create_connection((host, target.port or 0), timeout=timeout)
        try:
            if target.scheme == "https":
                # Our own certificate names the host, not the loopback address: nothing is at stake.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                sock = context.wrap_socket(sock)
            sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return sock.recv(9) == b"HTTP/1.1 "
        finally:
            sock.close()
    except OSError:
        return False


def _reload(server: Server, variables: SystemdVariables, reread: Callable[[], Config]) -> None:
    notify.notify(variables, notify.RELOADING)
    try:
        later = server.reload(reread())
    except FscacheError as exc:
        _log.error("not reloaded: %s", exc)
    else:
        _log.info("reloaded%s", f"; from the next start on: {', '.join(later)}" if later else "")
    notify.notify(variables, notify.READY)
