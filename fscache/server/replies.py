"""Answers that several routes give: errors as JSON, their statuses, JSON results."""

from __future__ import annotations

import json

from fscache import errors
from fscache.remote import faults
from fscache.server.connection import Response

JSON = "application/json"

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.AccessDeniedError, 403),
    (errors.TryAgainError, 503),
    (errors.NotCachedError, 404),
    (errors.UnknownRequestError, 404),
    (errors.TargetRefusedError, 403),
    (errors.NoSpaceError, 507),
    (errors.StoreFullError, 507),
    (errors.StoreError, 500),
    (LookupError, 404),
    (TypeError, 400),
    (ValueError, 400),
)


def status_of(error: BaseException) -> int:
    """Return the HTTP status for an error that a route ended with."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 422)


def error_reply(error: BaseException, status: int | None = None) -> Response:
    """Return an error by code and fields; only for what `faults.is_ours` says may travel."""
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, errors.TryAgainError):
        headers = (("Retry-After", str(max(1, round(error.retry_after)))),)
    body = json.dumps(faults.encode(error)).encode()
    return Response(status or status_of(error), body, JSON, headers)


def json_reply(value: object, status: int = 200) -> Response:
    """Return a value as JSON."""
    return Response(status, json.dumps(value).encode(), JSON)
