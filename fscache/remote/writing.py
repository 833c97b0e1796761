"""Values as XML, for `codec`: each as XML-RPC spells it, or as a struct that `codec` knows."""

from __future__ import annotations

import binascii
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML has no way to say."""
TAGS = frozenset({"$text", "$time", "$int", "$items", "$bytes"})
MAX_DEPTH = 64
_BESIDE = 4096  # bytes from which on a value travels beside the document, where it may


class Parts(list[str]):
    """A document's pieces, and the bytes that travel beside it."""

    def __init__(self, first: str, beside: list[bytes] | None) -> None:
        """Begin with `first`; `beside` is None where bytes have to be in the document."""
        super().__init__([first])
        self.beside = beside


def write(value: Any, out: Parts, depth: int = 0) -> None:
    """Append a value's XML.

    The standard library's marshaller is not used: it keeps neither control characters nor line ends,
    knows no number beyond 32 bits, and takes twice the time.
    """
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        scalar(value, out)
    elif value is None:
        out.append("<value><nil/></value>")
    elif depth > MAX_DEPTH:
        raise TypeError(f"nested deeper than {MAX_DEPTH}")
    elif isinstance(value, dict):
        _write_mapping(value, out, depth)
    elif isinstance(value, list | tuple):
        out.append("<value><array><data>")
        for item in value:
            write(item, out, depth + 1)
        out.append("</data></array></value>")
    else:  # a subclass, such as an enumeration's member or numpy's float
        base = next((kind for kind in _SCALARS if isinstance(value, kind)), None)
        if base is None:
            raise TypeError(f"a value of type {type(value).__name__} cannot travel to a server")
        _SCALARS[base](value, out)


def _write_bytes(value: bytes | bytearray | memoryview, out: Parts) -> None:
    if out.beside is not None and len(value) >= _BESIDE:
        whole = bytes(value)
        out.beside.append(whole)
        _write_tagged("$bytes", len(whole), out)
        return
    encoded = binascii.b2a_base64(value, newline=False).decode("ascii")
    out.append(f"<value><base64>{encoded}</base64></value>")


def _write_bool(value: bool, out: Parts) -> None:
    out.append(f"<value><boolean>{value:d}</boolean></value>")


def _write_float(value: float, out: Parts) -> None:
    out.append(f"<value><double>{float(value)!r}</double></value>")


def _write_time(value: datetime, out: Parts) -> None:
    _write_tagged("$time", value.isoformat(), out)


def _write_text(value: str, out: Parts) -> None:
    if FORBIDDEN.search(value) is None:
        out.append(f"<value><string>{escaped(str(value))}</string></value>")
    else:
        _write_tagged("$text", value.encode("utf-8", "surrogatepass"), out)


def _write_int(value: int, out: Parts) -> None:
    if -(2**31) <= value < 2**31:
        out.append(f"<value><int>{int(value)}</int></value>")
    elif -(2**63) <= value < 2**63:
        out.append(f"<value><i8>{int(value)}</i8></value>")
    else:
        _write_tagged("$int", str(value), out)


def _write_mapping(value: dict[Any, Any], out: Parts, depth: int) -> None:
    plain = all(type(key) is str and FORBIDDEN.search(key) is None for key in value)
    if not plain or (len(value) == 1 and not TAGS.isdisjoint(value)):
        items = [[key, item] for key, item in value.items()]
        _write_tagged("$items", items, out, depth)
        return
    out.append("<value><struct>")
    for key, item in value.items():
        out.append(f"<member><name>{escaped(key)}</name>")
        write(item, out, depth + 1)
        out.append("</member>")
    out.append("</struct></value>")


def _write_tagged(tag: str, value: object, out: Parts, depth: int = 0) -> None:
    out.append(f"<value><struct><member><name>{tag}</name>")
    write(value, out, depth + 1)
    out.append("</member></struct></value>")


_SCALARS: dict[type, Callable[[Any, Parts], None]] = {
    str: _write_text,
    bytes: _write_bytes,
    bool: _write_bool,  # before int, which it is too
    int: _write_int,
    float: _write_float,
    datetime: _write_time,
    bytearray: _write_bytes,
    memoryview: _write_bytes,
}


def escaped(text: str) -> str:
    """Return text as it stands in a document."""
    # A parser turns a bare carriage return into a line feed.
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    )
