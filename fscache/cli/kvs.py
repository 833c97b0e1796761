"""What the `kv` commands share: which store, and values as text and as JSON. Pure but for the first.

In JSON, a value that JSON has no word for is an object with one member whose name begins with `$`:

    {"$bytes": base64}   {"$time": ISO 8601}   {"$npy": base64 of a .npy file}

A dict that looks like one of these has one `$` more: `{"$$bytes": …}` stands for `{"$bytes": …}`.
An array is a list with `--json` where it is shown, and `$npy` where it is exported.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import sys

from fscache.kv import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from fscache.cli.session import Session
    from fscache.kv import KeyValues

FORMS = ("text", "json", "bytes")
_MARK = re.compile(r"\$+(bytes|time|npy)")
_TAGS = frozenset({"$bytes", "$time", "$npy"})


def add_store(parser: ArgumentParser) -> None:
    """Declare `--store`."""
    parser.add_argument(
        "--store", metavar="NAME", default="default", help="which store (default: %(default)s)"
    )


def store_of(session: Session, arguments: Namespace) -> KeyValues:
    """Return the store that is asked for: the configured server's, this machine's with `--root`."""
    from fscache.cli.exits import UsageError

    # An int of any size is a value; the limit guards servers that print what strangers send.
    sys.set_int_max_str_digits(0)
    kv: KeyValues = session.shared.kv
    try:
        return kv.store(arguments.store)
    except ValueError as exc:
        raise UsageError(f"fscache {arguments.command}", str(exc)) from exc


def missing(key: str) -> BaseException:
    """Return the error for a key that is not there."""
    from fscache.errors import NotCachedError

    return NotCachedError(key)


def parse_value(data: bytes, form: str) -> object:
    """Return the value of what a user typed or piped; raises ValueError."""
    if form == "bytes":
        return data
    text = data.decode("utf-8", "surrogateescape")
    if form == "text":
        return text
    try:
        return from_json(json.loads(text))
    except ValueError as exc:
        raise ValueError(f"VALUE is no JSON: {exc}") from exc


def as_text(value: object) -> bytes:
    """Return a value as it is shown: text and bytes as they are, all else as JSON."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return as_bytes(value)
    if isinstance(value, dt.datetime):
        return value.isoformat().encode()
    return as_bytes(json.dumps(to_json(value), ensure_ascii=False))


def as_bytes(text: str) -> bytes:
    """Return text as it is written: UTF-8; bytes that came in as none go out as they were.

    Any other lone surrogate is three bytes, as it is in the store: one value must stop no list.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def to_json(value: Any, *, exact: bool = False) -> Any:
    """Return what JSON says for a value; `exact` keeps NumPy's types."""
    if isinstance(value, dict):
        more = "$" if len(value) == 1 and _MARK.fullmatch(*value) else ""
        return {more + key: to_json(item, exact=exact) for key, item in value.items()}
    if isinstance(value, list):
        return [to_json(item, exact=exact) for item in value]
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dt.datetime):
        return {"$time": value.isoformat()}
    if hasattr(value, "dtype"):
        if exact:
            return {"$npy": base64.b64encode(codec.encode_whole(value)).decode("ascii")}
        return to_json(value.tolist())
    return value


def from_json(value: Any) -> Any:
    """Return the value that `to_json` was given, of exact ones the same; raises ValueError."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1:
            (tag, inside), *_ = value.items()
            if tag in _TAGS and not isinstance(inside, str):
                raise ValueError(f"{tag} stands before text: {value!r:.100}")
            if tag == "$bytes":
                return base64.b64decode(inside, validate=True)
            if tag == "$time":
                return dt.datetime.fromisoformat(inside)
            if tag == "$npy":
                data = base64.b64decode(inside, validate=True)
                return codec.decode(data[:1], data[1:])
            if _MARK.fullmatch(tag):
                return {tag[1:]: from_json(inside)}
        return {key: from_json(item) for key, item in value.items()}
    return value
