"""Who may do what: tokens and their two roles.

`use` may read, write and stage; `admin` may also purge and see everybody's requests. A request
carries its token as `Authorization: Bearer <token>`, or as the password of Basic, which is what an
old client makes of `http://token:<token>@host`. Without a token nothing but `/healthz` is answered,
unless the metastore's calls were opened to everybody.

The token file is this server's secret: mode 0600, never followed through a link, never shown.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
from typing import TYPE_CHECKING

from fscache.errors import ConfigError
from fscache.fs import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMIN = "admin"
USE = "use"
ANONYMOUS = "anonymous"
NOBODY = ""

_RANKS = {NOBODY: 0, ANONYMOUS: 1, USE: 2, ADMIN: 3}
_MAX_FILE = 64 * 1024
_MIN_TOKEN = 16  # characters; what is made here has 43
_HEADER = "# Tokens of this data server, one a line: role (use or admin) and token.\n"


def may(role: str, needed: str) -> bool:
    """Whether a role suffices."""
    return _RANKS[role] >= _RANKS[needed]


class Tokens:
    """The tokens of one file, read anew by `reload`."""

    def __init__(self, path: str, *, anonymous_kv: bool = False, handed: bool = False) -> None:
        """Read the tokens of `path`; the file is made, with one token a role, if it is missing.

        Args:
            path: The file.
            anonymous_kv: Whether a request without a token has the role `anonymous`.
            handed: It is one of systemd's credentials, whose access list shows as group bits.

        Raises:
            ConfigError: it cannot be read or made, or others may read it.
        """
        self.path = path
        self._private = not handed
        self._without = ANONYMOUS if anonymous_kv else NOBODY
        self._tokens: tuple[tuple[bytes, str], ...] = ()
        try:
            if not os.path.lexists(path):
                _make(path)
            self._tokens = _read(path, private=self._private)
        except OSError as exc:
            raise ConfigError("token_file", path, exc.strerror or str(exc)) from exc

    def reload(self) -> None:
        """Read the file again; on an error the tokens stay as they were.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            self._tokens = _read(self.path, private=self._private)
        except OSError as exc:
            raise ConfigError("token_file", self.path, exc.strerror or str(exc)) from exc

    def role(self, headers: Mapping[str, str]) -> str:
        """Return the role of a request: `use`, `admin`, `anonymous`, or empty for nobody.

        A wrong token is nobody, even where anonymous requests are served.
        """
        given = headers.get("authorization")
        if given is None:
            return self._without
        token = _token_of(given)
        if token is None:
            return NOBODY
        found = NOBODY
        for known, role in self._tokens:  # all of them, so that the time says nothing
            if hmac.compare_digest(known, token):
                found = role
        return found


def _token_of(authorization: str) -> bytes | None:
    scheme, _, value = authorization.partition(" ")
    kind = scheme.lower()
    if kind == "bearer":
        return value.strip().encode("latin-1", "replace")
    if kind != "basic":
        return None
    try:
        pair = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return pair.partition(b":")[2]


def _make(path: str) -> None:
    text = _HEADER + "".join(f"{role} {secrets.token_urlsafe(32)}\n" for role in (USE, ADMIN))
    temp = f"{path}.{secrets.token_hex(6)}"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            atomic.write_all(fd, text.encode("ascii"))
        finally:
            os.close(fd)
        atomic.move(temp, path)
    except BaseException:
        atomic.remove(temp)
        raise


def _read(path: str, *, private: bool) -> tuple[tuple[bytes, str], ...]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError("token_file", path, "not a regular file")
        if private and mode & 0o077:
            why = f"others may read it (mode {stat.S_IMODE(mode):04o}); chmod 600"
            raise ConfigError("token_file", path, why)
        text = os.read(fd, _MAX_FILE).decode("utf-8", "replace")
    finally:
        os.close(fd)
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        role, token = (USE, words[0]) if len(words) == 1 else (words[0], words[1])
        if role not in (USE, ADMIN) or len(words) > 2 or len(token) < _MIN_TOKEN:
            why = f"line {number} is not `use TOKEN` or `admin TOKEN` of {_MIN_TOKEN} characters"
            raise ConfigError("token_file", path, why)
        found.append((token.encode("utf-8"), role))
    if not found:
        raise ConfigError("token_file", path, "it holds no token")
    return tuple(found)
