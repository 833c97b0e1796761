"""XML-RPC as bytes: values out, values in, for both ends.

Every value comes back as it went: what XML-RPC has no word for travels as a struct with one member
whose name begins with `$`. Plain clients see plain values, except where these occur:

    {"$text": base64}        text with characters that XML forbids (a log's escape codes)
    {"$time": "…"}           a datetime with microseconds and zone (XML-RPC's has neither)
    {"$int": "…"}            a whole number beyond 64 bits
    {"$items": [[k, v], …]}  a mapping with other keys than text, or one that looks like these

Tuples come back as lists. Incoming documents may have no DTD, so no entity can expand; pickle does
not occur anywhere.
"""

from __future__ import annotations

import binascii
import json
import re
import xmlrpc.client
from datetime import datetime
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from fscache import errors
from fscache.remote import faults

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE = "text/xml"
APPLICATION_FAULT = 1
PARSE_FAULT = -32700
NO_METHOD_FAULT = -32601

_HEADER = "<?xml version='1.0'?>\n"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What a metastore's client sends, a method and short plain texts, spelt as the standard library does:
# anything a parser would change or refuse does not match. Read so it takes 3 µs, by expat 28.
_SIMPLE_PARAM = rb"<param>\n<value><string>[ !-%'-;=?-~]*</string></value>\n</param>\n"
_SIMPLE_CALL = re.compile(
    rb"<\?xml version='1\.0'\?>\n<methodCall>\n<methodName>([\w.]+)</methodName>\n"
    rb"<params>\n((?:" + _SIMPLE_PARAM + rb")*)</params>\n</methodCall>\n"
)
_SIMPLE_TEXT = re.compile(rb"<string>([^<]*)</string>")
_TAGS = frozenset({"$text", "$time", "$int", "$items"})
_MAX_DEPTH = 64


class MalformedError(ValueError):
    """The bytes are no XML-RPC document that may be read; never leaves this package and the server."""


def _write(value: Any, out: list[str], depth: int = 0) -> None:
    """Append a value's XML.

    The standard library's marshaller is not used: it keeps neither control characters nor line ends,
    knows no number beyond 32 bits, and takes twice the time.
    """
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        scalar(value, out)
    elif value is None:
        out.append("<value><nil/></value>")
    elif depth > _MAX_DEPTH:
        raise TypeError(f"nested deeper than {_MAX_DEPTH}")
    elif isinstance(value, dict):
        _write_mapping(value, out, depth)
    elif isinstance(value, list | tuple):
        out.append("<value><array><data>")
        for item in value:
            _write(item, out, depth + 1)
        out.append("</data></array></value>")
    else:  # a subclass, such as an enumeration's member or numpy's float
        base = next((kind for kind in _SCALARS if isinstance(value, kind)), None)
        if base is None:
            raise TypeError(f"a {type(value).__name__} cannot travel to a server")
        _SCALARS[base](value, out)


def _write_bytes(value: bytes | bytearray | memoryview, out: list[str]) -> None:
    encoded = binascii.b2a_base64(value, newline=False).decode("ascii")
    out.append(f"<value><base64>{encoded}</base64></value>")


def _write_bool(value: bool, out: list[str]) -> None:
    out.append(f"<value><boolean>{value:d}</boolean></value>")


def _write_float(value: float, out: list[str]) -> None:
    out.append(f"<value><double>{float(value)!r}</double></value>")


def _write_time(value: datetime, out: list[str]) -> None:
    _write_tagged("$time", value.isoformat(), out)


def _write_text(value: str, out: list[str]) -> None:
    if _FORBIDDEN.search(value) is None:
        out.append(f"<value><string>{_escaped(str(value))}</string></value>")
    else:
        _write_tagged("$text", value.encode("utf-8", "surrogatepass"), out)


def _write_int(value: int, out: list[str]) -> None:
    if -(2**31) <= value < 2**31:
        out.append(f"<value><int>{int(value)}</int></value>")
    elif -(2**63) <= value < 2**63:
        out.append(f"<value><i8>{int(value)}</i8></value>")
    else:
        _write_tagged("$int", str(value), out)


def _write_mapping(value: dict[Any, Any], out: list[str], depth: int) -> None:
    plain = all(type(key) is str and _FORBIDDEN.search(key) is None for key in value)
    if not plain or (len(value) == 1 and not _TAGS.isdisjoint(value)):
        items = [[key, item] for key, item in value.items()]
        _write_tagged("$items", items, out, depth)
        return
    out.append("<value><struct>")
    for key, item in value.items():
        out.append(f"<member><name>{_escaped(key)}</name>")
        _write(item, out, depth + 1)
        out.append("</member>")
    out.append("</struct></value>")


def _write_tagged(tag: str, value: object, out: list[str], depth: int = 0) -> None:
    out.append(f"<value><struct><member><name>{tag}</name>")
    _write(value, out, depth + 1)
    out.append("</member></struct></value>")


_SCALARS: dict[type, Callable[[Any, list[str]], None]] = {
    str: _write_text,
    bytes: _write_bytes,
    bool: _write_bool,  # before int, which it is too
    int: _write_int,
    float: _write_float,
    datetime: _write_time,
    bytearray: _write_bytes,
    memoryview: _write_bytes,
}


def _escaped(text: str) -> str:
    # A parser turns a bare carriage return into a line feed.
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    )


class _Unmarshaller(xmlrpc.client.Unmarshaller):
    """The standard library's, with our tagged structs unwrapped as they end."""

    def end_struct(self, _data: str) -> None:
        mark = self._marks.pop()
        items: list[Any] = self._stack[mark:]
        made: Any = dict(zip(items[::2], items[1::2], strict=True))
        if len(made) == 1 and items[0] in _TAGS:
            made = _untagged(items[0], items[1])
        self._stack[mark:] = [made]
        self._value = False


# The library finds its methods by this table; its stubs call it an instance's.
_Unmarshaller.dispatch = {**xmlrpc.client.Unmarshaller.dispatch, "struct": _Unmarshaller.end_struct}  # type: ignore[dict-item]


def _untagged(tag: str, value: Any) -> object:
    if tag == "$text" and isinstance(value, bytes):
        return value.decode("utf-8", "surrogatepass")
    if tag == "$time":
        return datetime.fromisoformat(value)
    if tag == "$int":
        return int(value)
    if tag == "$items":
        return {key: item for key, item in value}  # noqa: C416 - dict() would take "ab" as a pair
    return {tag: value}


def _parse(data: bytes) -> tuple[tuple[Any, ...], str | None]:
    target = _Unmarshaller(use_builtin_types=True)
    parser = expat.ParserCreate(None, None)
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        # value, array, data: three levels each. Deeper is an attack on somebody's stack.
        if depth > 4 * _MAX_DEPTH:
            raise MalformedError("nested too deeply")
        target.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        target.end(tag)

    def refuse(*_args: object) -> None:
        raise MalformedError("a document type or entity")

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = target.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    target.xml(None, None)  # type: ignore[arg-type]  # text comes decoded, as from its own parser
    try:
        parser.Parse(data, True)
        return target.close(), target.getmethodname()
    except MalformedError:
        raise
    except xmlrpc.client.Fault:
        raise
    except Exception as exc:  # the unmarshaller raises whatever its input makes it trip over
        raise MalformedError(f"not an XML-RPC document: {exc}") from exc


def _params(values: tuple[object, ...]) -> str:
    out = ["<params>"]
    for value in values:
        out.append("<param>")
        _write(value, out)
        out.append("</param>")
    out.append("</params>")
    return "".join(out)


def encode_call(method: str, params: tuple[object, ...]) -> bytes:
    """Return the document of a call; raises TypeError for what cannot travel."""
    name = _escaped(method)
    text = f"{_HEADER}<methodCall><methodName>{name}</methodName>{_params(params)}</methodCall>\n"
    return text.encode("utf-8")


def decode_call(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return method and parameters of a call; raises MalformedError."""
    simple = _SIMPLE_CALL.fullmatch(data)
    if simple is not None:
        name, listed = simple.groups()
        return name.decode(), tuple(text.decode() for text in _SIMPLE_TEXT.findall(listed))
    try:
        params, method = _parse(data)
    except xmlrpc.client.Fault as exc:
        raise MalformedError("a fault where a call was expected") from exc
    if method is None:
        raise MalformedError("no method name")
    return method, params


def encode_result(value: object) -> bytes:
    """Return the document of a result; raises TypeError for what cannot travel."""
    return f"{_HEADER}<methodResponse>{_params((value,))}</methodResponse>\n".encode()


def encode_fault(code: int, text: str) -> bytes:
    """Return the document of a fault."""
    out: list[str] = []
    plain = _FORBIDDEN.sub("?", text)  # a plain client must be able to read it
    _write({"faultCode": code, "faultString": plain}, out)
    fault = "".join(out)
    return f"{_HEADER}<methodResponse><fault>{fault}</fault></methodResponse>\n".encode()


def fault_text(error: BaseException) -> str:
    """Return a fault's string for an error: a line for people, then one for our own client."""
    packed = faults.encode(error)
    return f"{packed['code']}: {packed['message']}\n{json.dumps(packed)}"


def decode_result(data: bytes, server: str) -> Any:
    """Return the result of a call, or raise the error that it ended with.

    Raises:
        FscacheError: what the server raised; RemoteError for a fault of another server's making.
        RefusedRequestError: the server could not read the call or has no such method.
        MalformedError: the bytes are no XML-RPC document.
    """
    try:
        return _parse(data)[0][0]
    except xmlrpc.client.Fault as exc:
        raise fault_error(exc.faultCode, exc.faultString, server) from None


def fault_error(code: int, text: str, server: str) -> Exception:
    """Return the error that a fault stands for."""
    first, _, rest = text.partition("\n")
    if code == APPLICATION_FAULT and rest:
        try:
            packed = json.loads(rest)
        except ValueError:
            packed = None
        if isinstance(packed, dict):
            return faults.decode(packed, server)
    if code in (PARSE_FAULT, NO_METHOD_FAULT):
        return errors.RefusedRequestError(server=server, why=first)
    return errors.RemoteError(server=server, why=first)
