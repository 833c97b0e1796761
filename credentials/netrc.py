"""Credentials from a netrc file: a small wrapper over the standard library's parser.

Promises: the file is read when it is asked for a host and at no other time; a file that is not
there has no answer; a file that has one but may be read by group or others is refused, as is one
that does not parse. Nothing of the file's content gets into an error.

Does not write netrc files, and does not know where the user's lies (`fscache.config` does).
"""

from __future__ import annotations

import os
import stat
from netrc import NetrcParseError, netrc

from credentials import hosts
from credentials.errors import CredentialFileError
from credentials.model import Basic, Credential

_DEFAULT = "default"
"""The name under which the standard library keeps the default entry."""


class NetrcFile:
    """The netrc file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r})"

    def find(self, host: str, port: int | None = None) -> Credential | None:
        """Return the entry for `host:port`, for `host`, or the default entry.

        Raises:
            CredentialFileError: the file does not parse, cannot be read, or has an entry for the
                host and may be read by others.
        """
        try:
            mode = os.stat(self._path).st_mode
            entries = netrc(self._path).hosts
        except (FileNotFoundError, NotADirectoryError):
            # the latter for daemons, whose home is /dev/null
            return None
        except OSError as exc:
            raise CredentialFileError(host, exc.strerror or "cannot be read", self._path) from exc
        except NetrcParseError as exc:
            # its message quotes the token it stumbled over, which may be a password
            why = f"does not parse as netrc, line {exc.lineno}"
            raise CredentialFileError(host, why, self._path) from None
        except UnicodeDecodeError:
            raise CredentialFileError(host, "is no text", self._path) from None

        for key in (*hosts.keys(host, port), _DEFAULT):
            if entry := entries.get(key):
                break
        else:
            return None
        # Only now: a file that is open to others yet says nothing of this host must not stand in
        # the way of public data.
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CredentialFileError(
                host, f"may be read by others; run: chmod 600 {self._path}", self._path
            )
        user, _account, password = entry
        try:
            return Basic(user or "", password or "", source=self._path)
        except ValueError as exc:
            raise CredentialFileError(host, str(exc), self._path) from None
