"""What a client may ask for with a URL. Pure: everything that comes over the wire is checked here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.server.rpc import SERVER
from fscache.urls.names import plain
from stager.urls import redact

if TYPE_CHECKING:
    from fscache.server.spool import Asked

MAX_URLS = 20_000
"""In one call."""
_MAX_MIRRORS = 16
_MAX_HEADERS = 32
_NUMBER = (int, float)
_FOR_EVER = 1e18  # seconds; whole numbers may be too large for a float
_SECRET_WORDS = ("auth", "cookie", "token", "secret", "key", "password")
_OURS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "range", "if-range", "te"}
)


def checked_urls(urls: object) -> list[list[str]]:
    """Return URLs with their mirrors.

    Raises:
        RefusedRequestError: anything else was given.
    """
    if not isinstance(urls, list) or not 0 < len(urls) <= MAX_URLS:
        raise _refused(f"urls is a list of 1 to {MAX_URLS} URLs")
    checked = []
    for each in urls:
        mirrors = [each] if isinstance(each, str) else each
        good = isinstance(mirrors, list) and 0 < len(mirrors) <= _MAX_MIRRORS
        if not good or not all(isinstance(url, str) and url for url in mirrors):
            raise _refused("a URL is text, or a list of mirrors")
        checked.append(mirrors)
    return checked


def checked_options(options: object) -> dict[str, Any]:
    """Return the options of a call: checksum, checksums, max_age, revalidate, headers.

    Raises:
        RefusedRequestError: there is another, or one has no meaning.
    """
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise _refused("options is a table")
    checked = {}
    for name, value in options.items():
        if value is None:
            continue
        checked[name] = _checked(name, value)
    return checked


def without_secrets(asked: Asked) -> Asked:
    """Return what may be written down: a secret in a header or a URL stays in memory only.

    So a request that is resumed after a restart is asked without it.
    """
    urls = [
        [_without_user(url) if "@" in url else url for url in mirrors] for mirrors in asked.urls
    ]
    asked = replace(asked, urls=urls)
    headers = asked.options.get("headers")
    if not headers:
        return asked
    kept = {
        name: value
        for name, value in headers.items()
        if not any(word in name.lower() for word in _SECRET_WORDS)
    }
    return replace(asked, options={**asked.options, "headers": kept})


def _without_user(url: str) -> str:
    try:
        return plain(url)
    except errors.InvalidURLError:
        return redact(url)


def _checked(name: str, value: object) -> object:
    if name == "checksum" and isinstance(value, str):
        return value
    if name == "checksums" and _is_text_table(value):
        return value
    if name == "max_age" and isinstance(value, _NUMBER) and value >= 0:
        return float(min(value, _FOR_EVER))
    if name == "revalidate" and isinstance(value, bool):
        return value
    if name == "headers" and isinstance(value, dict):
        return _checked_headers(value)
    known = "checksum, checksums, max_age, revalidate and headers"
    raise _refused(f"option {str(name)[:40]}: options are {known}")


def _checked_headers(headers: dict[Any, Any]) -> dict[str, str]:
    if len(headers) > _MAX_HEADERS or not _is_text_table(headers):
        raise _refused("headers is a table of text")
    for name, value in headers.items():
        if not name.replace("-", "").isalnum() or not name.isascii() or not value.isprintable():
            raise _refused("a header has a name of letters, digits and -, and a printable value")
        if name.lower() in _OURS:
            raise _refused(f"header {name} is not the caller's to set")
    return headers


def _is_text_table(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, str) for key, item in value.items()
    )


def _refused(why: str) -> errors.RefusedRequestError:
    return errors.RefusedRequestError(SERVER, why)
