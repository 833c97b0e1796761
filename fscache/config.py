"""The settings, and where each came from. The only reader of environment and config files.

Strongest first: arguments; the environment; `config.toml` of the user, then of the site; variables
that all programs share, such as `https_proxy`. The user's is `$XDG_CONFIG_HOME/fscache/config.toml` (or
what `FSCACHE_CONFIG` names), the site's `/etc/fscache/config.toml`.

A process that has no config file pays for two failed `stat`s, and imports nothing.

The module can be called, as the seed's `config(key, missing)` was: `fscache.config("root")`.
"""

from __future__ import annotations

import os
import sys

from fscache.units import parse_duration, parse_share, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Parser = Callable[[object], object]

SITE_FILE = "/etc/fscache/config.toml"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def _path(value: object) -> str:
    return os.path.abspath(os.path.expanduser(_text(value)))


def _paths(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(os.pathsep) if part]
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list of paths")  # noqa: TRY004 - one error for bad settings
    return tuple(_path(part) for part in value)


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


def _count(value: object) -> int:
    number = int(str(value))
    if not 1 <= number <= 1024:
        raise ValueError("expected 1 to 1024")
    return number


def _records(value: object) -> int:
    number = int(str(value))
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
        rules.append((_text(prefix), tuple(_text(target) for target in listed)))
    return tuple(rules)


SETTINGS: dict[str, tuple[str | None, Parser, object, str]] = {
    # name: (environment variable, parser, default, what it is)
    "root": ("FSCACHE_ROOT", _path, None, "directory of the cache"),
    "tiers": ("FSCACHE_TIERS", _paths, (), "read-only shared roots, searched first"),
    "server": ("FSCACHE_SERVER", _text, None, "data server, host:port"),
    "token": ("FSCACHE_TOKEN", _text, None, "token for the data server"),
    "token_file": ("FSCACHE_TOKEN_FILE", _path, None, "file with the token for the data server"),
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
    "per_host": (None, _count, 8, "transfers at once from one host"),
    "attempts": (None, _count, 5, "tries per mirror"),
    "connect_timeout": (None, _seconds, 15.0, "for a connection, in seconds"),
    "stall_timeout": (None, _seconds, 60.0, "longest silence of a server, in seconds"),
    "ca_file": ("FSCACHE_CA_FILE", _path, None, "certificates to trust instead of the usual ones"),
    "http_proxy": (None, _text, None, "proxy for http: URLs, http://[user:password@]host:port"),
    "https_proxy": (None, _text, None, "proxy for https: URLs"),
    "no_proxy": (None, _words, (), "domains, addresses and networks that no proxy is used for"),
    "netrc": ("NETRC", _path, None, "netrc file"),
    "credentials_directory": ("CREDENTIALS_DIRECTORY", _path, None, "systemd's credentials"),
    "keyring_hosts": (None, _path, None, "directory that names the hosts that the keyring knows"),
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
    "grid_tls": ("FSCACHE_GRID_TLS", _path, None, "directory with the grid's certificates"),
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


def _masked(name: str, value: object) -> object:
    if name in ADDRESSES and isinstance(value, str):
        secret, at, host = value.rpartition("@")
        scheme = secret[: secret.find("://") + 3] if "://" in secret else ""
        return f"{scheme}***@{host}" if at and secret else value
    return "***" if name in SECRET and value is not None else value


class Config:
    """One resolved set of settings; read them as attributes."""

    __slots__ = ("_sources", "_values")

    if TYPE_CHECKING:
        root: str
        tiers: tuple[str, ...]
        server: str | None
        token: str | None
        token_file: str | None
        offline: bool
        group: str | None
        world_readable: bool
        durability: str
        max_size: int | None
        min_free: str | None
        low_water: float
        split: str
        grace: float
        workers: int
        per_host: int
        attempts: int
        connect_timeout: float
        stall_timeout: float
        ca_file: str | None
        http_proxy: str | None
        https_proxy: str | None
        no_proxy: tuple[str, ...]
        netrc: str
        credentials_directory: str | None
        keyring_hosts: str
        mirrors: tuple[tuple[str, tuple[str, ...]], ...]
        grid: str | None
        grid_tls: str
        allow_private: bool
        allow_networks: tuple[str, ...]
        allow_hosts: tuple[str, ...]
        deny_hosts: tuple[str, ...]
        tasks: str
        tasks_max_records: int | None
        tasks_max_size: int | None
        tasks_max_age: float | None

    def __init__(self, values: Mapping[str, object], sources: Mapping[str, str]) -> None:
        self._values = values
        self._sources = sources

    def __getattr__(self, name: str) -> object:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{n}={v!r}' for n, v, s in self.explain() if s != 'default')})"

    def get(self, name: str, missing: object = None) -> object:
        """Return a setting, `missing` where it is unknown or not set."""
        value = self._values.get(name)
        return missing if value is None else value

    def told(self) -> Config:
        """Return the settings without what only the variables of `SHARED` say."""
        values, sources = dict(self._values), dict(self._sources)
        for name, variables in SHARED.items():
            if sources[name] in map(_from, variables):
                values[name], sources[name] = SETTINGS[name][2], "default"
        return Config(values, sources)

    def explain(self) -> list[tuple[str, object, str]]:
        """Return every setting as name, value (secrets masked) and where the value came from."""
        return [
            (name, _masked(name, value), self._sources[name])
            for name, value in self._values.items()
        ]


def load(
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, object] | None = None,
    site_file: str = SITE_FILE,
) -> Config:
    """Resolve the settings.

    Args:
        environ: The environment; the process's own by default.
        arguments: The strongest values; None among them means "not given".
        site_file: The site's config file.

    Raises:
        ConfigError: a value cannot be used, or a named file cannot be read.
    """
    env = os.environ if environ is None else environ  # noqa: TID251 - the one place
    home = env.get("HOME") or os.path.expanduser("~")
    given = arguments or {}
    files = _read_files(env, home, site_file)
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for name, (variable, parse, default, _help) in SETTINGS.items():
        raw: object = default
        source = "default"
        if given.get(name) is not None:
            raw, source = given[name], "argument"
        elif variable is not None and env.get(variable):
            raw, source = env[variable], _from(variable)
        else:
            for path, table in files:
                if name in table:
                    raw, source = table[name], path
                    break
            else:
                if name in SHARED:
                    raw, source = _shared(env, name) or (default, source)
        sources[name] = source
        values[name] = raw if source == "default" else _parse(name, parse, raw, source)
    if values["root"] is None:
        values["root"] = _path(f"{env.get('XDG_CACHE_HOME') or home + '/.cache'}/fscache")
    if values["netrc"] is None:
        values["netrc"] = f"{home}/.netrc"
    config_home = env.get("XDG_CONFIG_HOME") or home + "/.config"
    if values["keyring_hosts"] is None:
        values["keyring_hosts"] = f"{config_home}/fscache/keyring"
    if values["grid_tls"] is None:
        values["grid_tls"] = f"{config_home}/fscache/grid"
    return Config(values, sources)


def _shared(env: Mapping[str, str], name: str) -> tuple[object, str] | None:
    for variable in SHARED[name]:
        if variable == "HTTP_PROXY" and "REQUEST_METHOD" in env:
            continue  # in a CGI script it is the visitor's header `Proxy:`
        if env.get(variable):
            return env[variable], _from(variable)
    return None


def _from(variable: str) -> str:
    return f"environment variable {variable}"


def _parse(name: str, parse: Parser, raw: object, source: str) -> object:
    try:
        return parse(raw)
    except (ValueError, TypeError) as exc:
        from fscache.errors import ConfigError

        raise ConfigError(name=name, source=source, why=str(exc)) from exc


def _read_files(
    env: Mapping[str, str], home: str, site_file: str
) -> Sequence[tuple[str, Mapping[str, object]]]:
    named = env.get("FSCACHE_CONFIG")
    user_file = named or f"{env.get('XDG_CONFIG_HOME') or home + '/.config'}/fscache/config.toml"
    tables = []
    for path in (user_file, site_file):
        if os.path.exists(path):
            tables.append((path, _read_file(path)))
        elif path == named:
            from fscache.errors import ConfigError

            raise ConfigError(name="FSCACHE_CONFIG", source="environment", why=f"no file {path}")
    return tables


def _read_file(path: str) -> Mapping[str, object]:
    import tomllib

    from fscache.errors import ConfigError

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except (OSError, ValueError) as exc:  # also where it is no UTF-8
        raise ConfigError(name="config file", source=path, why=str(exc)) from exc
    unknown = sorted(set(table) - set(SETTINGS))
    if unknown:
        raise ConfigError(name=unknown[0], source=path, why="there is no such setting")
    return table


class SystemdVariables:
    """What systemd tells a service through its environment; all empty outside of it."""

    __slots__ = ("listen_fds", "listen_pid", "notify_socket", "watchdog_pid", "watchdog_usec")

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read the environment; the process's own by default."""
        env = os.environ if environ is None else environ  # noqa: TID251 - as in `load`
        self.notify_socket = env.get("NOTIFY_SOCKET", "")
        self.watchdog_usec = _whole(env.get("WATCHDOG_USEC")) or 0
        self.watchdog_pid = _whole(env.get("WATCHDOG_PID"))
        self.listen_fds = _whole(env.get("LISTEN_FDS")) or 0
        self.listen_pid = _whole(env.get("LISTEN_PID"))


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


class _Module(type(sys)):  # type: ignore[misc]  # mypy cannot subclass a module's type by expression
    """This module, callable as the seed's function of the same name."""

    def __call__(self, key: str, missing: object = None) -> object:
        """Return the value of a setting, `missing` where it is unknown or not set."""
        return load().get(key, missing)


sys.modules[__name__].__class__ = _Module
