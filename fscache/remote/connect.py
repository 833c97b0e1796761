"""A server's methods by its address: with the token and the certificates of the configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fscache import config as configuration
from fscache import errors
from fscache.remote import address as addresses
from fscache.remote.client import Client
from fscache.remote.rpc import RPC

if TYPE_CHECKING:
    from fscache.config import Config


_NO_TOKEN = re.compile(r"[\x00-\x20\x7f]")


def connect(
    text: str, config: Config | None = None, *, port: int | None = None, token: str | None = None
) -> RPC:
    """Return the methods of a server; nothing is sent before the first call.

    Args:
        text: `host`, `host:port`, `https://host:port` or `token:SECRET@host:port`.
        config: Settings; from environment and files by default.
        port: Where `text` names none.
        token: Where `text` names none; from the configuration by default.

    Raises:
        ConfigError: that names no server, or a file that the settings name cannot be read.
    """
    settled = config or configuration.load()
    at = _address(text, settled, port, token)
    return RPC(_client(at, settled))


def _client(at: addresses.Address, config: Config) -> Client:
    ca_file = config.told().ca_file  # for SSL_CERT_FILE OpenSSL looks by itself
    try:
        return Client(at, ca_file=ca_file)
    except OSError as exc:
        why = f"{ca_file}: {exc.strerror or exc}"
        raise errors.ConfigError("ca_file", "configuration", why) from exc


def _address(text: str, config: Config, port: int | None, token: str | None) -> addresses.Address:
    try:
        at = addresses.parse(text, port)
    except ValueError as exc:
        raise errors.ConfigError("server", "configuration", str(exc)) from exc
    secret = token or at.token or config.token or _token_of_file(config.token_file)
    if secret is not None and _NO_TOKEN.search(secret):
        # The server's whole file, or a line of it: it would break out of its header.
        why = "it holds white space: give the word that stands behind its role"
        raise errors.ConfigError("token", "configuration", why)
    return addresses.Address(at.host, at.port, at.tls, secret)


def _token_of_file(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return addresses.read_token(file.read())
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.ConfigError("token_file", path, str(exc)) from exc
