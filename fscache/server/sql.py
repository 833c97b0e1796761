"""Queries over HTTP.

    POST /sql             {"query": …, "shared": {…}, "max_gather": N, "deferred": true}   as JSON
    GET /sql/<id>         how far a query is; what it failed with
    GET /sql/<id>/rows    the rows of a deferred one, once they are all there
    DELETE /sql/<id>      cancel it, or forget its rows

`Accept: application/vnd.apache.arrow.stream` asks for Arrow's stream format, all else gets JSON lines.
Rows of a query that is not deferred are sent as they come, in chunks; the header `X-Fscache-Query`
tells its id. A query that fails before its first rows is answered with the error; one that fails later
has its connection cut before the last chunk, so that no client takes a part for the whole, and
`GET /sql/<id>` tells why. Whoever closes the connection cancels the query.

What runs the queries is handed in (`Run`): this package knows neither the grid nor DuckDB.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.server.auth import ADMIN, may
from fscache.server.connection import FilePart, Flow, Response
from fscache.server.head import BadRequestError
from fscache.server.queries import Query, first, ticking, told_as
from fscache.server.replies import error_reply, json_reply
from fscache.server.rpc import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from fscache.server.app import Routes
    from fscache.server.connection import Request
    from fscache.server.limits import Limits
    from fscache.server.queries import Rows, Run

ARROW = "application/vnd.apache.arrow.stream"
JSON_LINES = "application/jsonl"
KEPT = 600.0
"""Seconds for which an ended query is remembered, and the rows of a deferred one kept."""
_RETRY = 2.0  # s after which to ask again when too many queries run


class Queries:
    """The queries of one server."""

    def __init__(
        self, run: Run, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Answer.

        Args:
            run: Starts a query.
            limits: The largest request, the most queries, and the most rows that are kept.
            clock: Monotonic seconds.
        """
        self._run = run
        self._limits = limits
        self._clock = clock
        self._known: dict[str, Query] = {}
        self._lock = threading.Lock()

    def routes(self) -> Routes:
        """Return what is answered here."""
        return {
            ("POST", "sql"): self.post,
            ("GET", "sql"): self.get,
            ("DELETE", "sql"): self.delete,
        }

    def post(self, request: Request, rest: str) -> Response:
        """Start a query."""
        if rest:
            raise BadRequestError(404, "queries go to /sql")
        asked = _asked(request.body.read_all(self._limits.call))
        kind = "arrow" if ARROW in request.head.headers.get("accept", "") else "json"
        query = self._admit(kind, request.client)
        try:
            rows = self._run(
                asked["query"],
                shared=asked.get("shared") or {},
                max_gather=asked.get("max_gather"),
                kind=kind,
                progress=query.told,
            )
            query.begin(rows)
            if asked.get("deferred"):
                query.deferred = True
                query.file = tempfile.TemporaryFile()  # noqa: SIM115 - held until it is forgotten
                arguments = (query, rows, query.file)
                threading.Thread(target=self._keep, args=arguments, name="sql", daemon=True).start()
                return json_reply({"id": query.id}, 202)
            parts = ticking(rows)
            begin = first(parts, request.body.asker_gone)
        except BaseException as exc:
            if query.rows is not None:
                query.rows.cancel()
            query.end(exc)
            if isinstance(exc, CancelledError):
                raise errors.RefusedRequestError(SERVER, "the query was cancelled") from exc
            raise
        flow = Flow(_sent(query, begin, parts), close=query.cancel)
        return Response(200, flow, _type(kind), (("X-Fscache-Query", query.id),))

    def get(self, request: Request, rest: str) -> Response:
        """Tell how far a query is, or send the rows of one that was deferred."""
        name, _, part = rest.partition("/")
        query = self._find(request, name)
        if not part:
            return json_reply(query.describe())
        if part != "rows":
            raise BadRequestError(404, "nothing there")
        state = query.state  # once: it may end, and be forgotten, between any two looks
        if query.error is not None:
            return error_reply(told_as(query.error))
        if not query.deferred:
            raise BadRequestError(404, "nothing there")
        if state == "running":
            raise errors.TryAgainError(SERVER, "the query runs", retry_after=1.0)
        kept = query.opened()
        if kept is None:
            raise errors.UnknownRequestError(SERVER, f"no query {name[:64]}")
        fd, size = kept
        return Response(200, FilePart(fd, 0, size), _type(query.kind))

    def delete(self, request: Request, rest: str) -> Response:
        """Cancel a query, or forget one that has ended."""
        query = self._find(request, rest)
        was = query.state
        query.cancel()
        if was != "running":
            with self._lock:
                self._known.pop(query.id, None)
            query.forget()
        return json_reply(query.describe())

    def close(self) -> None:
        """Cancel all, and let go of what they run on."""
        with self._lock:
            queries = list(self._known.values())
            self._known.clear()
        for query in queries:
            query.cancel()
            query.forget()
        self._run.close()

    def sweep(self) -> None:
        """Forget the queries that ended long ago, and what is kept of their rows."""
        now = self._clock()
        with self._lock:
            for old in [q for q in self._known.values() if q.ended and now - q.ended > KEPT]:
                del self._known[old.id]
                old.forget()

    def _admit(self, kind: str, by: str) -> Query:
        self.sweep()
        with self._lock:
            if (
                sum(query.state == "running" for query in self._known.values())
                >= self._limits.queries
            ):
                raise errors.TryAgainError(SERVER, "too many queries", retry_after=_RETRY)
            query = Query(kind, by, self._clock)
            self._known[query.id] = query
            return query

    def _find(self, request: Request, name: str) -> Query:
        query = self._known.get(name)
        # An id cannot be guessed, and is told to nobody else; still, it is not a key for every client.
        if query is None or (query.by != request.client and not may(request.role, ADMIN)):
            raise errors.UnknownRequestError(SERVER, f"no query {name[:64]}")
        return query

    def _keep(self, query: Query, rows: Rows, file: BinaryIO) -> None:
        """Write the rows of a deferred query to its file."""
        written = 0
        try:
            for part in rows:
                written += len(part)
                if written > self._limits.rows:
                    raise errors.GatherTooLargeError(  # noqa: TRY301
                        "a deferred query", limit=self._limits.rows, asked=written
                    )
                file.write(part)
            file.flush()
        except BaseException as exc:  # noqa: BLE001 - told by GET
            rows.cancel()
            query.end(exc)
        else:
            query.end()
        if query.state != "done":  # it was cancelled as its last rows came, too
            query.forget()


def _sent(query: Query, begin: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    try:
        if begin:
            yield begin
        yield from parts
    except BaseException as exc:
        query.end(exc)
        raise
    query.end()


def _asked(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadRequestError(400, f"the body is no JSON: {exc}") from None
    wanted = {"query": str, "shared": dict | None, "max_gather": int | None, "deferred": bool}
    if not isinstance(asked, dict) or "query" not in asked:
        raise BadRequestError(400, 'expected {"query": …}')
    for name, value in asked.items():
        if name not in wanted:
            raise BadRequestError(400, f"there is no {name[:40]!r}; there are {', '.join(wanted)}")
        if not isinstance(value, wanted[name]):
            raise BadRequestError(400, f"{name} is of the wrong type")
    most = asked.get("max_gather")
    if isinstance(most, bool) or (most is not None and most < 0):
        raise BadRequestError(400, "max_gather is a number of bytes")
    return asked


def _type(kind: str) -> str:
    return ARROW if kind == "arrow" else JSON_LINES
