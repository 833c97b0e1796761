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

import datetime
import json
import re
import xmlrpc.client
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from fscache import errors
from fscache.remote import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Write = Callable[[str], None]

CONTENT_TYPE = "text/xml"
APPLICATION_FAULT = 1
PARSE_FAULT = -32700
NO_METHOD_FAULT = -32601

_HEADER = "<?xml version='1.0'?>\n"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = frozenset({"$text", "$time", "$int", "$items"})
_MAX_DEPTH = 64


class MalformedError(ValueError):
    """The bytes are no XML-RPC document that may be read; never leaves this package and the server."""


class _Marshaller(xmlrpc.client.Marshaller):
    dispatch = dict(xmlrpc.client.Marshaller.dispatch)

    def dump_int(self, value: int, write: Write) -> None:
        if -(2**31) <= value < 2**31:
            write(f"<value><int>{value}</int></value>\n")
        elif -(2**63) <= value < 2**63:
            write(f"<value><i8>{value}</i8></value>\n")
        else:
            self._tagged("$int", str(value), write)

    dispatch[int] = dump_int

    def dump_text(self, value: str, write: Write) -> None:
        if _FORBIDDEN.search(value) is None:
            escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            # A parser turns a bare carriage return into a line feed.
            escaped = escaped.replace("\r", "&#13;")
            write(f"<value><string>{escaped}</string></value>\n")
        else:
            self._tagged("$text", value.encode("utf-8", "surrogatepass"), write)

    dispatch[str] = dump_text

    def dump_time(self, value: datetime.datetime, write: Write) -> None:
        self._tagged("$time", value.isoformat(), write)

    dispatch[datetime.datetime] = dump_time

    def dump_mapping(self, value: Mapping[object, object], write: Write) -> None:
        plain = all(type(key) is str and _FORBIDDEN.search(key) is None for key in value)
        if not plain or (len(value) == 1 and not _TAGS.isdisjoint(value)):  # type: ignore[arg-type]
            self._tagged("$items", [[key, item] for key, item in value.items()], write)
            return
        write("<value><struct>\n")
        for key, item in value.items():
            name = xmlrpc.client.escape(str(key)).replace("\r", "&#13;")
            write(f"<member>\n<name>{name}</name>\n")
            self._dump(item, write)
            write("</member>\n")
        write("</struct></value>\n")

    dispatch[dict] = dump_mapping

    def _tagged(self, tag: str, value: object, write: Write) -> None:
        write(f"<value><struct>\n<member>\n<name>{tag}</name>\n")
        self._dump(value, write)
        write("</member>\n</struct></value>\n")

    def _dump(self, value: object, write: Write) -> None:
        self._Marshaller__dump(value, write)  # type: ignore[attr-defined]


class _Unmarshaller(xmlrpc.client.Unmarshaller):
    dispatch = dict(xmlrpc.client.Unmarshaller.dispatch)

    def end_struct(self, data: str) -> None:
        mark = self._marks.pop()  # type: ignore[attr-defined]
        stack = self._stack  # type: ignore[attr-defined]
        items = stack[mark:]
        made: Any = dict(zip(items[::2], items[1::2], strict=True))
        if len(made) == 1 and items[0] in _TAGS:
            made = _untagged(items[0], items[1])
        stack[mark:] = [made]
        self._value = 0

    dispatch["struct"] = end_struct


def _untagged(tag: str, value: Any) -> object:
    if tag == "$text" and isinstance(value, bytes):
        return value.decode("utf-8", "surrogatepass")
    if tag == "$time":
        return datetime.datetime.fromisoformat(value)
    if tag == "$int":
        return int(value)
    if tag == "$items":
        return {key: item for key, item in value}  # noqa: C416 - dict() would take "ab" as a pair
    return {tag: value}


def _parse(data: bytes) -> tuple[tuple[Any, ...], str | None]:
    target = _Unmarshaller(use_builtin_types=True)
    parser = expat.ParserCreate(None, None)
    depth = 0

    def start(tag: str, attributes: object) -> None:
        nonlocal depth
        depth += 1
        # value/array/data is three levels; a document this deep is an attack on somebody's stack
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
    target.xml(None, None)
    try:
        parser.Parse(data, True)
        return target.close(), target.getmethodname()
    except MalformedError:
        raise
    except xmlrpc.client.Fault:
        raise
    except Exception as exc:  # the unmarshaller raises whatever its input makes it trip over
        raise MalformedError(f"not an XML-RPC document: {exc}") from exc


def _dumps(values: tuple[object, ...]) -> str:
    return _Marshaller("utf-8", allow_none=True).dumps(values)  # type: ignore[arg-type]


def encode_call(method: str, params: tuple[object, ...]) -> bytes:
    """Return the document of a call; raises TypeError for what cannot travel."""
    name = xmlrpc.client.escape(method)
    body = _dumps(params)
    text = f"{_HEADER}<methodCall>\n<methodName>{name}</methodName>\n{body}</methodCall>\n"
    return text.encode("utf-8")


def decode_call(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return method and parameters of a call; raises MalformedError."""
    try:
        params, method = _parse(data)
    except xmlrpc.client.Fault as exc:
        raise MalformedError("a fault where a call was expected") from exc
    if method is None:
        raise MalformedError("no method name")
    return method, params


def encode_result(value: object) -> bytes:
    """Return the document of a result; raises TypeError for what cannot travel."""
    return f"{_HEADER}<methodResponse>\n{_dumps((value,))}</methodResponse>\n".encode()


def encode_fault(code: int, text: str) -> bytes:
    """Return the document of a fault."""
    body = _Marshaller("utf-8").dumps(xmlrpc.client.Fault(code, text))
    return f"{_HEADER}<methodResponse>\n{body}</methodResponse>\n".encode()


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
