"""What a server is started with, beside the settings of its cache."""

from __future__ import annotations

from dataclasses import dataclass, field

from fscache.server.keeper import SCAN_INTERVAL
from fscache.server.limits import Limits


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one server."""

    host: str = "127.0.0.1"
    port: int = 8077
    """0 picks a free one."""
    token_file: str | None = None
    """By default `tokens` in the root."""
    token_handed: bool = False
    """It is one of systemd's credentials."""
    anonymous_kv: bool = False
    """Open the metastore's three calls to everybody."""
    tls_cert: str | None = None
    tls_key: str | None = None
    limits: Limits = field(default_factory=Limits)
    watch: bool = True
    """Watch the spool; without, the scan finds what is dropped."""
    scan_interval: float = SCAN_INTERVAL
    idle: float = 300.0
    """How long a kept connection may stay silent, in seconds."""
    stall: float = 60.0
    """The longest silence within a request, in seconds."""
    grace: float = 5.0
    """How long a stop waits for answers under way, in seconds."""
