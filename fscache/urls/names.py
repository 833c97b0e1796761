"""The one spelling of a URL under which its entry lies.

Scheme and host in lower case, no user information, no fragment: what the stager makes of a URL
(`stager.urls.parse`), without importing it where there is nothing to do, as on nearly every hit.
"""

from __future__ import annotations


def is_url(name: str) -> bool:
    """Whether a name is a URL rather than an object's address; raises TypeError for what is no text."""
    if not isinstance(name, str):
        kind = type(name).__name__
        raise TypeError(f"an address or a URL is text, not {kind}: {name!r:.100}")
    return ":" in name


def plain(url: str) -> str:
    """Return the name of a URL's entry.

    Raises:
        InvalidURLError: it cannot be one.
        TypeError: it is no text.
    """
    if not isinstance(url, str):
        raise TypeError(f"a URL is text, not {type(url).__name__}: {url!r:.100}")
    host_end = url.find("/", 8)
    host = url[:host_end] if host_end > 0 else url
    if (
        "@" in host
        or "#" in url
        or host_end < 0
        or host != host.lower()
        or not url.isascii()  # a lone surrogate has no bytes, and so no name
    ):
        from stager.urls import parse

        return parse(url).url
    return url
