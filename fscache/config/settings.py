"""What can be set: the name of each setting, its variable, how its text is read, and its default.

A table and what it is made of; nothing here looks at an environment or a file. `fscache.config` does.
"""

from __future__ import annotations

import os

from fscache.units import parse_duration, parse_share, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Parser = Callable[[object], object]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def parse_path(value: object, base: str = "") -> str:
    """Return a path as it is used: whole, and without `~`; a relative one counts from `base`."""
    text = os.path.expanduser(_text(value))
    if text.startswith("~"):
        raise ValueError(f"there is no such home directory: {text!r:.100}")
    if "\0" in text:
        raise ValueError("a path holds no null characters")
    return os.path.abspath(os.path.join(base, text))


def _paths(value: object, base: str = "") -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(os.pathsep) if part]
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list of paths")  # noqa: TRY004 - one error for bad settings
    return tuple(parse_path(part, base) for part in value)


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list")  # noqa: TRY004 - one error for bad settings
    return tuple(_text(part) for part in value)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


def _size(value: object) -> int:
    return parse_size(str(value))


def _share(value: object) -> str:
    """Check a size or a percentage; what it is a percentage of is known only later."""
    text = str(value)
    parse_share(text, 0)
    return text


def _fraction(value: object) -> float:
    text = str(value)
    if not text.endswith("%"):
        raise ValueError("expected a percentage")
    return parse_share(text, 10**9) / 10**9


def _split(value: object) -> str:
    text = str(value)
    parts = [int(part) for part in text.split("+") if part.isascii() and part.isdigit()]
    if "+".join(map(str, parts)) != text or sum(parts) != 20 or min(parts) < 1:
        raise ValueError("expected lengths that add up to 20, such as 4+4+12")
    return text


def _seconds(value: object) -> float:
    return parse_duration(str(value))


def _whole(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ValueError(f"expected a whole number, not {value!r:.100}") from None


def _count(value: object) -> int:
    number = _whole(value)
    if not 1 <= number <= 1024:
        raise ValueError("expected 1 to 1024")
    return number


def _records(value: object) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError("expected a number above 0")
    return number


def _choice(*words: str) -> Parser:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return str(value)

    return parse


def _rules(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise ValueError("expected a table: URL prefix = [replacements]")  # noqa: TRY004
    rules = []
    for prefix, targets in value.items():
        listed = [targets] if isinstance(targets, str) else targets
        rules.append((_beginning(prefix), tuple(map(_beginning, listed))))
    return tuple(rules)


def _beginning(value: object) -> str:
    text = _text(value)
    if "://" not in text:
        raise ValueError(f"expected how a URL begins, such as https://host/, not {text!r:.100}")
    return text


def read(name: str, value: object, file: str | None) -> object:
    """Return the value of a setting; a relative path in a file counts from the file's directory.

    Raises:
        ValueError, TypeError: it cannot be used.
    """
    parse = SETTINGS[name][1]
    for placed in (parse_path, _paths):
        if file is not None and parse is placed:
            return placed(value, os.path.dirname(file))
    return parse(value)


SETTINGS: dict[str, tuple[str | None, Parser, object, str]] = {
    # name: (environment variable, parser, default, what it is)
    "root": ("FSCACHE_ROOT", parse_path, None, "directory of the cache"),
    "tiers": ("FSCACHE_TIERS", _paths, (), "read-only shared roots, searched first"),
    "server": ("FSCACHE_SERVER", _text, None, "data server, host:port"),
    "token": ("FSCACHE_TOKEN", _text, None, "token for the data server"),
    "token_file": (
        "FSCACHE_TOKEN_FILE",
        parse_path,
        None,
        "file with the token for the data server",
    ),
    "offline": ("FSCACHE_OFFLINE", _flag, False, "never touch the network"),
    "group": (None, _text, None, "group that shares the root"),
    "world_readable": (None, _flag, True, "objects readable outside the group (0444 or 0440)"),
    "durability": (
        None,
        _choice("process", "power"),
        "process",
        "what acknowledged writes survive",
    ),
    "max_size": (None, _size, None, "purge when objects exceed this"),
    "min_free": (None, _share, None, "purge when less of the file system is free"),
    "low_water": (None, _fraction, 0.9, "share of a limit that a purge by itself comes down to"),
    "split": (None, _split, "4+4+12", "how a new root splits the addresses of objects"),
    "grace": (None, _seconds, 3600.0, "age since last access below which nothing is purged"),
    "workers": (None, _count, 16, "threads that fetch"),
    "per_host": (None, _count, 8, "transfers at once from one host; if not set, 32 with helpers"),
    "attempts": (None, _count, 5, "tries per mirror"),
    "connect_timeout": (None, _seconds, 15.0, "for a connection, in seconds"),
    "stall_timeout": (None, _seconds, 60.0, "longest silence of a server, in seconds"),
    "ca_file": (
        "FSCACHE_CA_FILE",
        parse_path,
        None,
        "certificates to trust instead of the usual ones",
    ),
    "http_proxy": (None, _text, None, "proxy for http: URLs, http://[user:password@]host:port"),
    "https_proxy": (None, _text, None, "proxy for https: URLs"),
    "no_proxy": (None, _words, (), "domains, addresses and networks that no proxy is used for"),
    "netrc": ("NETRC", parse_path, None, "netrc file"),
    "credentials_directory": ("CREDENTIALS_DIRECTORY", parse_path, None, "systemd's credentials"),
    "keyring_hosts": (
        None,
        parse_path,
        None,
        "directory that names the hosts that the keyring knows",
    ),
    "mirrors": (None, _rules, (), "URL prefix = [prefixes to try instead, in order]"),
    "tasks": (
        None,
        _choice("files", "memory", "none"),
        "files",
        "where task records are kept",
    ),
    "tasks_max_records": (None, _records, None, "cull the oldest completed tasks beyond this many"),
    "tasks_max_size": (None, _size, None, "cull when the tasks' buffers exceed this"),
    "tasks_max_age": (None, _seconds, None, "cull completed tasks submitted longer ago than this"),
    "grid": ("FSCACHE_GRID", _text, None, "head of the grid, tls://host:port"),
    "grid_tls": ("FSCACHE_GRID_TLS", parse_path, None, "directory with the grid's certificates"),
    "allow_private": (None, _flag, False, "daemon: fetch from private and loopback addresses"),
    "allow_networks": (None, _words, (), "daemon: networks to fetch from whatever they are"),
    "allow_hosts": (None, _words, (), "daemon: fetch from no other hosts than these patterns"),
    "deny_hosts": (None, _words, (), "daemon: never fetch from hosts of these patterns"),
}

SHARED: dict[str, tuple[str, ...]] = {
    "ca_file": ("SSL_CERT_FILE",),
    "http_proxy": ("http_proxy", "HTTP_PROXY"),
    "https_proxy": ("https_proxy", "HTTPS_PROXY"),
    "no_proxy": ("no_proxy", "NO_PROXY"),
}
"""The variables of a setting that are not ours alone: asked last, where nobody has told us."""

SECRET = frozenset({"token"})
ADDRESSES = frozenset({"server", "http_proxy", "https_proxy"})
"""May hold a secret before the host: `user:password@host`, and `token:…@host` for the server."""


def masked(name: str, value: object) -> object:
    """Return a value with what is secret in it made unreadable."""
    if name in ADDRESSES and isinstance(value, str):
        secret, at, host = value.rpartition("@")
        scheme = secret[: secret.find("://") + 3] if "://" in secret else ""
        return f"{scheme}***@{host}" if at and secret else value
    return "***" if name in SECRET and value is not None else value
