"""Whose checksum is which: those a caller has for many URLs, found by the names their entries have.

A checksum that is not looked at would be worse than none: a key that is no URL of the call is refused
where one of the call's URLs has no checksum. It may be meant for that one.
"""

from __future__ import annotations

from collections.abc import Mapping

from fscache.urls.names import plain
from stager.errors import InvalidURLError
from stager.urls import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def matched(
    checksums: Mapping[str, str], urls: Sequence[str], other: str | None
) -> list[str | None]:
    """Return the checksum of each URL, `other` for those that have none.

    Args:
        checksums: `algorithm:hex` by URL; more than are asked for now, or fewer.
        urls: Those asked for.
        other: For a URL that is not in `checksums`.

    Raises:
        ValueError: some are of other URLs, and some URLs have none.
        TypeError: it is no mapping.
    """
    if not isinstance(checksums, Mapping):
        raise TypeError(f"checksums are a mapping by URL, not a {type(checksums).__name__}")
    by_name = {_name(url): checksum for url, checksum in checksums.items()}
    names = [_name(url) for url in urls]
    strange, without = by_name.keys() - set(names), set(names) - by_name.keys()
    if strange and without:
        raise ValueError(
            f"checksums has {redact(min(strange))}, which is not asked for, and none for"
            f" {redact(min(without))}, which is"
        )
    return [by_name.get(name, other) for name in names]


def _name(url: str) -> str:
    try:
        return plain(url)
    except InvalidURLError:
        return url  # the error of that URL's own request
