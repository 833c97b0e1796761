"""Which request goes where, after it has been counted and its token looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache import errors
from fscache.remote import codec, faults
from fscache.server.auth import NOBODY, USE, may
from fscache.server.connection import Response
from fscache.server.head import BadRequestError
from fscache.server.replies import error_reply
from fscache.server.rpc import SERVER, Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fscache.server.auth import Tokens
    from fscache.server.connection import Request
    from fscache.server.limits import Limits, RateLimiter
    from fscache.server.rpc import Methods

    Route = Callable[[Request, str], Response]
    Routes = Mapping[tuple[str, str], Route]

_CHALLENGE = (("WWW-Authenticate", 'Basic realm="fscache"'),)
_WITHOUT_ROOT = ("", "metrics")
_AWAY = 5.0  # seconds after which to ask again
_XML_TYPES = ("text/xml", "application/xml")
_SIMPLE_TYPES = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


class App:
    """Turns each request into a response."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        limiter: RateLimiter,
        limits: Limits,
        methods: Methods,
        routes: Routes,
        healthy: Callable[[], str | None],
        usable: Callable[[], str | None],
    ) -> None:
        """Serve.

        Args:
            tokens: Who may what.
            limiter: Counts requests by client.
            limits: The largest bodies.
            methods: The calls of XML-RPC.
            routes: (method, first part of the path) → what serves it; it gets the rest of the path.
                GET routes serve HEAD too; POST without a route is XML-RPC.
            healthy: Returns what is wrong, None if nothing is.
            usable: Returns why nothing can be served from the root, None if it can. Asked for every
                request: what is written while a file system is not mounted would land below it.
        """
        self._tokens = tokens
        self._limiter = limiter
        self._limits = limits
        self._methods = methods
        self._routes = dict(routes)
        self._healthy = healthy
        self._usable = usable
        self.answered = 0
        """Requests since the start."""
        self.refused = 0
        """Of them: without a good token, or too many."""

    def __call__(self, request: Request) -> Response:
        """Serve one request; raises only what the connection turns into an answer."""
        self.answered += 1
        head = request.head
        path = head.path
        if path == "/healthz":
            return self._health()
        wait = self._limiter.take(request.client)
        if wait:
            self.refused += 1
            slow = errors.TryAgainError(SERVER, "too many requests", retry_after=wait)
            return error_reply(slow, 429)
        role = self._tokens.role(head.headers)
        if role == NOBODY:
            self.refused += 1
            denied = errors.AccessDeniedError(SERVER, "no token, or an unknown one")
            response = error_reply(denied, 401)
            response.headers += _CHALLENGE
            return response
        request.role = role
        first, _, rest = path[1:].partition("/")
        away = None if first in _WITHOUT_ROOT and head.method != "POST" else self._usable()
        if away is not None:
            return error_reply(errors.TryAgainError(SERVER, away, retry_after=_AWAY))
        method = "GET" if head.method == "HEAD" else head.method
        route = self._routes.get((method, first))
        if method == "POST":
            _check_type(request)
            if route is None:
                return self._call(request, path)
        if not may(role, USE):
            return error_reply(errors.AccessDeniedError(SERVER, "this needs a token"))
        if route is None:
            return error_reply(errors.RefusedRequestError(SERVER, f"nothing at {path[:80]}"), 404)
        try:
            return route(request, rest)
        except Exception as exc:
            if not faults.is_ours(exc):
                raise
            return error_reply(exc)

    def _call(self, request: Request, path: str) -> Response:
        if path not in ("/", "/RPC2"):
            raise BadRequestError(404, "calls go to /RPC2")
        caller = Caller(request.role, request.client)
        kind = _type_of(request)
        if kind in _XML_TYPES:
            document, given = request.body.read_all(self._limits.call), codec.NOTHING
        elif kind == codec.JOINED_TYPE:
            document, given = self._split(request.body.read_all(self._limits.value))
        else:
            raise BadRequestError(415, "a call is text/xml")
        joins = codec.JOINED_TYPE in request.head.headers.get("accept", "")
        beside: list[bytes] | None = [] if joins else None
        document = self._methods.answer(document, caller, given, beside)
        if beside:
            return Response(200, codec.join(document, beside), codec.JOINED_TYPE)
        return Response(200, document, codec.CONTENT_TYPE)

    def _split(self, body: bytes) -> tuple[bytes, memoryview]:
        try:
            document, given = codec.split(body)
        except codec.MalformedError as exc:
            raise BadRequestError(400, str(exc)) from exc
        if len(document) > self._limits.call:
            raise BadRequestError(413, f"a document of at most {self._limits.call} bytes is read")
        return document, given

    def _health(self) -> Response:
        wrong = self._healthy()
        return Response(200, b"ok\n") if wrong is None else Response(503, f"{wrong}\n".encode())


def _type_of(request: Request) -> str:
    return request.head.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_type(request: Request) -> None:
    """Refuse what a browser could be made to send from another site's page, with our user's token."""
    if _type_of(request) in _SIMPLE_TYPES:
        why = (
            "no body of this type: Content-Type of a call is text/xml, of all else application/json"
        )
        raise BadRequestError(415, why)
