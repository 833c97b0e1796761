"""What is wrong with a name, a setting or a root.

The whole tree is drawn in `fscache.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass

from credentials.errors import FscacheError


@dataclass(eq=False)
class InvalidAddressError(FscacheError, ValueError):
    """Not 20 lower-case hex digits, with or without a slot."""

    code = "invalid-address"
    message = "not an address (20 hex digits): {text}"

    text: str


@dataclass(eq=False)
class InvalidFilterError(FscacheError, ValueError):
    """A filter of `admin ls` that cannot be read."""

    code = "invalid-filter"
    message = "filter {text!r}: {why}"

    text: str
    why: str


@dataclass(eq=False)
class ConfigError(FscacheError, ValueError):
    """A setting has a value that cannot be used; `source` says where it came from."""

    code = "config"
    message = "setting {name} from {source}: {why}"

    name: str
    source: str
    why: str


@dataclass(eq=False)
class NotCachedError(FscacheError, LookupError):
    """The name or address is not in the cache, and nothing was fetched."""

    code = "not-cached"
    message = "not in the cache: {name}"

    name: str


@dataclass(eq=False)
class OfflineError(NotCachedError):
    """It is not in the cache, and the network was forbidden."""

    code = "offline"
    message = "not in the cache, and offline: {name}"


@dataclass(eq=False)
class StoreError(FscacheError):
    """The root could not be read or written."""

    code = "store"
    message = "{path}: {why}"

    path: str
    why: str


@dataclass(eq=False)
class CorruptObjectError(StoreError):
    """An object's bytes are not those of its digest; it has been moved to `quarantine/`."""

    code = "corrupt-object"


@dataclass(eq=False)
class RootError(StoreError):
    """The root as a whole cannot be used."""

    code = "root"


@dataclass(eq=False)
class NotACacheError(RootError):
    """The directory exists, is not empty and is no cache: nothing is written into it."""

    code = "not-a-cache"


@dataclass(eq=False)
class FormatError(RootError):
    """The root's FORMAT is newer than this program, or unreadable."""

    code = "format"


@dataclass(eq=False)
class RootPermissionError(RootError, PermissionError):
    """The root may not be written by this user, or lies on a read-only file system."""

    code = "root-permission"


@dataclass(eq=False)
class LockTimeoutError(StoreError, TimeoutError):
    """Somebody else held a lock for longer than we were willing to wait."""

    code = "lock-timeout"


@dataclass(eq=False)
class StoreFullError(StoreError):
    """The file system or the quota is full."""

    code = "store-full"
