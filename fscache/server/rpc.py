"""XML-RPC: a table of methods, introspection, several calls in one.

Faults carry our errors by code (`remote.faults`); what a method raised outside that tree is logged
here and reported as an internal error, without its text.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.remote import codec, faults
from fscache.server.auth import ANONYMOUS, USE, may

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_log = logging.getLogger("fscache.server")
_INTERNAL_FAULT = -32603
_MAX_CALLS = 10_000  # in one multicall
SERVER = ""  # errors name a server; the client puts in the name it knows, and none is ours


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    role: str
    client: str
    """The peer's address, or the user of a spool file."""


@dataclass(frozen=True, slots=True)
class Method:
    """One name that can be called; the function's first parameter is the `Caller`."""

    name: str
    function: Callable[..., Any]
    role: str = USE
    plain: bool = False
    """Faults as the standard library's server words them: programs may compare the text."""


class Methods:
    """All methods of one server."""

    def __init__(self, methods: Iterable[Method]) -> None:
        """Serve these, and `system.*`."""
        system = [
            Method("system.listMethods", self._list, ANONYMOUS),
            Method("system.methodHelp", self._help, ANONYMOUS),
            Method("system.methodSignature", self._signature, ANONYMOUS),
            Method("system.multicall", self._multicall),
        ]
        self._table = {method.name: method for method in (*methods, *system)}

    def answer(
        self,
        document: bytes,
        caller: Caller,
        given: memoryview = codec.NOTHING,
        beside: list[bytes] | None = None,
    ) -> bytes:
        """Return the document that answers a call; never raises.

        Args:
            document: Of the call.
            caller: Who calls.
            given: The bytes beside the document.
            beside: Gets those beside the answer; None has all of them in there.
        """
        try:
            name, params = codec.decode_call(document, given)
        except codec.MalformedError as exc:
            return codec.encode_fault(codec.PARSE_FAULT, str(exc))
        try:
            return codec.encode_result(self._call(name, params, caller), beside)
        except Exception as exc:  # noqa: BLE001 - the one place where a call's errors become faults
            if beside:
                beside.clear()
            code, text = self._fault(name, exc)
            return codec.encode_fault(code, text)

    def _call(self, name: str, params: tuple[Any, ...], caller: Caller) -> object:
        method = self._table.get(name)
        if method is None:
            raise _NoMethodError(name)
        if not may(caller.role, method.role):
            why = f"{name} needs the role {method.role}"
            raise errors.AccessDeniedError(SERVER, why)
        try:
            return method.function(caller, *params)
        except TypeError as exc:
            # Raised by the call itself and not below it: the parameters do not fit. Asking
            # `inspect` before every call would cost 5 µs of 60.
            if exc.__traceback__ is not None and exc.__traceback__.tb_next is None:
                why = f"{name} takes {_parameters(method)}"
                raise errors.RefusedRequestError(SERVER, why) from exc
            raise

    def _list(self, caller: Caller) -> list[str]:
        """Return the names of the methods that the caller may use."""
        return sorted(m.name for m in self._table.values() if may(caller.role, m.role))

    def _help(self, caller: Caller, name: str) -> str:
        """Return what a method does."""
        method = self._table.get(name)
        if method is None or not may(caller.role, method.role):
            raise _NoMethodError(name)
        text = inspect.getdoc(method.function) or ""
        return f"{name}{_parameters(method)}\n\n{text}"

    def _signature(self, caller: Caller, name: str) -> str:
        """Return `undef`: parameters have defaults, and values more types than XML-RPC names."""
        self._help(caller, name)
        return "undef"

    def _multicall(self, caller: Caller, calls: list[dict[str, Any]]) -> list[object]:
        """Make several calls: a list of {methodName, params} gives a list of [result] or a fault."""
        if len(calls) > _MAX_CALLS:
            raise errors.RefusedRequestError(SERVER, f"at most {_MAX_CALLS} calls in one")
        results: list[object] = []
        for call in calls:
            name = str(call.get("methodName", "")) if isinstance(call, dict) else ""
            try:
                if name == "system.multicall":
                    raise errors.RefusedRequestError(SERVER, "a multicall within a multicall")  # noqa: TRY301
                params = call.get("params", []) if isinstance(call, dict) else []
                results.append([self._call(name, tuple(params), caller)])
            except Exception as exc:  # noqa: BLE001 - one bad call must not lose the others' results
                code, text = self._fault(name, exc)
                results.append({"faultCode": code, "faultString": text})
        return results

    def _fault(self, name: str, error: Exception) -> tuple[int, str]:
        if isinstance(error, _NoMethodError):
            return codec.NO_METHOD_FAULT, f"no method {str(error)[:100]}"
        if not faults.is_ours(error):
            _log.error("%s failed", name, exc_info=error)
            return _INTERNAL_FAULT, "internal error; see the log of the server"
        method = self._table.get(name)
        if method is not None and method.plain:
            return codec.APPLICATION_FAULT, f"{type(error)}:{error}"
        return codec.APPLICATION_FAULT, codec.fault_text(error)


class _NoMethodError(Exception):
    pass


def _parameters(method: Method) -> str:
    signature = inspect.signature(method.function)
    return str(signature.replace(parameters=list(signature.parameters.values())[1:]))
