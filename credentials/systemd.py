"""Credentials from a directory of token files, as systemd's `LoadCredential=` makes one.

One file per host, `fscache-<host>` or `fscache-<host>_<port>`, with one line in it (see
`credentials.text`). The directory is passed in; `fscache.config` reads `$CREDENTIALS_DIRECTORY`.

Promises: a file that is not there has no answer; one that everybody may read is refused. Group is
not looked at: systemd grants the service's user access by an ACL, whose mask shows as group bits.
"""

from __future__ import annotations

import os
import stat

from credentials import hosts, text
from credentials.errors import CredentialFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from credentials.model import Credential

_PREFIX = "fscache-"
_LIMIT = 64 * 1024
"""Bytes; a token is shorter, and a device or a wrong file must not fill the memory."""


class SystemdCredentials:
    """The token files in `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._directory!r})"

    def find(self, host: str, port: int | None = None) -> Credential | None:
        """Return the credential in the file for `host:port`, or in that for `host`.

        Raises:
            CredentialFileError: the file is there and cannot be read, holds no credential, or may
                be read by everybody.
        """
        for name in file_names(host, port):
            path = os.path.join(self._directory, name)
            content = self._read(path, host)
            if content is None:
                continue
            try:
                return text.parse(content, path)
            except ValueError as exc:
                raise CredentialFileError(host, str(exc), path) from None
        return None

    def _read(self, path: str, host: str) -> str | None:
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_LIMIT + 1)
            reachable = os.stat(self._directory).st_mode & stat.S_IXOTH
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise CredentialFileError(host, exc.strerror or "cannot be read", path) from exc
        if mode & stat.S_IROTH and reachable:
            raise CredentialFileError(host, f"may be read by others; run: chmod 600 {path}", path)
        if len(content) > _LIMIT:
            raise CredentialFileError(host, "is too long for a credential", path)
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise CredentialFileError(host, "is no text", path) from None


def file_names(host: str, port: int | None) -> tuple[str, ...]:
    """Return the names of the files that may hold the credential, the most specific first.

    A port is set off by `_`, as systemd allows no colon in a credential's name; so are the colons
    and brackets of an IPv6 address (`fscache-__1` for `::1`).
    """
    return tuple(
        _PREFIX + key.replace("[", "").replace("]", "").replace(":", "_")
        for key in hosts.keys(host, port)
        if "/" not in key and "\0" not in key
    )
