"""The settings, and where each came from. The only package that reads environment and config files.

Strongest first: arguments; the environment; `config.toml` of the user, then of the site; variables
that all programs share, such as `https_proxy`. The user's is `$XDG_CONFIG_HOME/fscache/config.toml` (or
what `FSCACHE_CONFIG` names), the site's `/etc/fscache/config.toml`.

A process that has no config file pays for two failed `stat`s, and imports nothing.

What can be set stands in `settings`. The module can be called, as the seed's `config(key, missing)` was:
`fscache.config("root")`.
"""

from __future__ import annotations

import os
import sys

from fscache.config.settings import SETTINGS, SHARED, masked, parse_path, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SITE_FILE = "/etc/fscache/config.toml"
_NOWHERE = "/nonexistent"  # the home directory of who has none, as in Debian


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
        values, sources = self.portable()
        for name, variables in SHARED.items():
            if sources[name] in map(_from, variables):
                values[name], sources[name] = SETTINGS[name][2], "default"
        return Config(values, sources)

    def is_set(self, name: str) -> bool:
        """Tell whether a setting is somebody's choice, not the default."""
        return self._sources[name] != "default"

    def portable(self) -> tuple[dict[str, object], dict[str, str]]:
        """Return what makes the same settings elsewhere, secrets and all: `Config`'s arguments."""
        return dict(self._values), dict(self._sources)

    def explain(self) -> list[tuple[str, object, str]]:
        """Return every setting as name, value (secrets masked) and where the value came from."""
        return [
            (name, masked(name, value), self._sources[name]) for name, value in self._values.items()
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
    home = env.get("HOME") or _home_of_user()
    given = arguments or {}
    files = _read_files(env, home, site_file)
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for name, (variable, _parse, default, _help) in SETTINGS.items():
        raw: object = default
        source = "default"
        file = None
        if given.get(name) is not None:
            raw, source = given[name], "argument"
        elif variable is not None and env.get(variable):
            raw, source = env[variable], _from(variable)
        else:
            for path, table in files:
                if name in table:
                    raw, source, file = table[name], path, path
                    break
            else:
                if name in SHARED:
                    raw, source = _shared(env, name) or (default, source)
        sources[name] = source
        values[name] = raw if source == "default" else _read(name, raw, source, file)
    if values["root"] is None:
        cache_home = _base(env, "XDG_CACHE_HOME") or os.path.join(home, ".cache")
        values["root"] = parse_path(f"{cache_home}/fscache")
    if values["netrc"] is None:
        values["netrc"] = os.path.join(home, ".netrc")
    if values["keyring_hosts"] is None:
        values["keyring_hosts"] = f"{_config_home(env, home)}/fscache/keyring"
    if values["grid_tls"] is None:
        values["grid_tls"] = f"{_config_home(env, home)}/fscache/grid"
    return Config(values, sources)


def given_path(name: str, value: str | os.PathLike[str]) -> str:
    """Return the path that a program gives for a setting, as it is used.

    Raises:
        ConfigError: it cannot be one.
        TypeError: it is no path.
    """
    return str(_read(name, os.fspath(value), "argument", None))


def _home_of_user() -> str:
    # Not os.path.expanduser, which makes an empty HOME the file system's root, and a user whom nobody
    # knows (of a container) a directory called "~".
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return _NOWHERE


def _config_home(env: Mapping[str, str], home: str) -> str:
    return _base(env, "XDG_CONFIG_HOME") or os.path.join(home, ".config")


def _base(env: Mapping[str, str], variable: str) -> str | None:
    """Return a directory of the XDG specification, which has relative ones ignored."""
    named = env.get(variable, "")
    return named if os.path.isabs(named) else None


def _shared(env: Mapping[str, str], name: str) -> tuple[object, str] | None:
    for variable in SHARED[name]:
        if variable == "HTTP_PROXY" and "REQUEST_METHOD" in env:
            continue  # in a CGI script it is the visitor's header `Proxy:`
        if env.get(variable):
            return env[variable], _from(variable)
    return None


def _from(variable: str) -> str:
    return f"environment variable {variable}"


def _read(name: str, raw: object, source: str, file: str | None) -> object:
    try:
        return read(name, raw, file)
    except (ValueError, TypeError) as exc:
        from fscache.errors import ConfigError

        raise ConfigError(name=name, source=source, why=str(exc)) from exc


def _read_files(
    env: Mapping[str, str], home: str, site_file: str
) -> Sequence[tuple[str, Mapping[str, object]]]:
    named = env.get("FSCACHE_CONFIG")
    user_file = named or f"{_config_home(env, home)}/fscache/config.toml"
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


class _Module(type(sys)):  # type: ignore[misc]  # mypy cannot subclass a module's type by expression
    """This module, callable as the seed's function of the same name."""

    def __call__(self, key: str, missing: object = None) -> object:
        """Return the value of a setting, `missing` where it is unknown or not set."""
        return load().get(key, missing)


sys.modules[__name__].__class__ = _Module
