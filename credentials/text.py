"""A credential as one line of text: `Bearer token`, `Basic user:password` or `Header-Name: value`.

The same form in token files and in the keyring. Pure. No error holds any part of the text, as all
of it may be the secret.
"""

from __future__ import annotations

import re

from credentials.model import Basic, Bearer, Credential, Header

_FORMS = "`Bearer <token>`, `Basic <user>:<password>` or `<Header-Name>: <value>`"
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.+)")


def parse(text: str, source: str = "") -> Credential:
    """Return the credential that `text` holds; white space and newlines around it are ignored.

    `source` is where it was found.

    Raises:
        ValueError: it holds none, or more than one line.
    """
    line = text.strip()
    if "\n" in line:
        raise ValueError(f"more than one line (expected {_FORMS})")
    if header := _HEADER.fullmatch(line):
        return Header(header[1], header[2], source=source)
    scheme, _, secret = line.partition(" ")
    secret = secret.strip()
    if scheme.lower() == "bearer" and secret:
        return Bearer(secret, source=source)
    user, colon, password = secret.partition(":")
    if scheme.lower() == "basic" and colon:
        return Basic(user, password, source=source)
    raise ValueError(f"not a credential (expected {_FORMS})")


def render(credential: Credential) -> str:
    """Return the line from which `parse` makes `credential` again. It is the secret."""
    match credential:
        case Basic(user, password):
            return f"Basic {user}:{password}"
        case Bearer(token):
            return f"Bearer {token}"
        case Header(name, value):
            return f"{name}: {value}"
