"""The root of the one exception tree, and the credential branch of it.

The whole tree is drawn in `fscache.errors`, which is where programs import it from. The root stands
here because `credentials` is the lowest of the three packages: `stager` and `fscache` build on it,
and nothing may import upward.

Every error of the project

- has typed fields, read as attributes, and a stable `code` that also stands on the wire;
- is picklable and comes back equal in type and fields (errors cross processes and nodes);
- never holds a secret: constructors are given redacted URLs and names, not credentials.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(eq=False)
class FscacheError(Exception):
    """Whatever goes wrong in fscache, stager or credentials."""

    code: ClassVar[str] = "error"
    message: ClassVar[str] = "fscache failed"
    """A format string over the fields."""

    def __str__(self) -> str:
        return self.message.format_map(self.to_fields())

    def __reduce__(self) -> tuple[type[FscacheError], tuple[object, ...]]:
        # Exception's own __reduce__ passes `args`, which keyword construction leaves empty.
        return type(self), tuple(self.to_fields().values())

    def to_fields(self) -> dict[str, object]:
        """Return the typed fields by name, in the order of the constructor."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(eq=False)
class CredentialError(FscacheError):
    """A credential could not be looked up or stored."""

    code = "credential"
    message = "credential for {host}: {why}"

    host: str
    why: str


@dataclass(eq=False)
class NoKeyringError(CredentialError):
    """This machine has no usable keyring backend; `why` says what to do instead."""

    code = "no-keyring"


@dataclass(eq=False)
class CredentialFileError(CredentialError):
    """A netrc or token file cannot be read, does not parse, or is readable by others."""

    code = "credential-file"
    message = "credential file {path}: {why}"

    path: str
