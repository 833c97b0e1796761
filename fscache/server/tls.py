"""TLS by certificate and key; a reload reads both again, for the connections from then on."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from fscache.errors import ConfigError

if TYPE_CHECKING:
    from fscache.server.settings import Settings


class Certificate:
    """The certificate of one server."""

    def __init__(self, settings: Settings) -> None:
        """Read what `settings` name; without a certificate there is no TLS.

        Raises:
            ConfigError: it cannot be used.
        """
        self._file = settings.tls_cert
        self._key = settings.tls_key
        if self._file is None and self._key is not None:
            raise ConfigError("tls_cert", "command line", "there is a key, and no certificate")
        self.context = None if self._file is None else self._load(_new())
        """For the listener; None for plain HTTP."""

    def check(self) -> None:
        """Raise ConfigError if what the files hold now cannot be used; nothing is changed."""
        if self.context is not None:
            self._load(_new())

    def reload(self) -> None:
        """Read the files again; raises as `check`."""
        if self.context is not None:
            self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        name = self._file or ""
        try:
            # With a password given, if a wrong one, nobody is asked for it at a terminal.
            context.load_cert_chain(name, self._key, password="")
        except ssl.SSLError as exc:
            why = f"not a certificate and its key, unencrypted ({exc.reason or exc})"
            where = name if self._key is None else f"{name} and {self._key}"
            raise ConfigError("tls_cert", where, why) from exc
        except OSError as exc:
            named = self._key if self._key and not os.path.exists(self._key) else name
            raise ConfigError("tls_cert", named, exc.strerror or str(exc)) from exc
        return context


def _new() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
