"""Reading astropy's download cache: `…/download/url/<md5 of the URL>/{url,contents}`."""

from __future__ import annotations

import os

from fscache.errors import InvalidURLError
from fscache.migrate.item import Item, Passed
from fscache.urls.names import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.migrate.item import Found
    from fscache.migrate.urls import URLList

_LONGEST = 1 << 17


def read(top: str, _urls: URLList) -> Iterator[Found]:
    """Yield every download; `top` is the cache directory, or one of those below it."""
    for below in ("download/url", "url", "."):
        directory = os.path.normpath(f"{top}/{below}")
        if os.path.isdir(directory):
            break
    with os.scandir(directory) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        contents, url = f"{entry.path}/contents", f"{entry.path}/url"
        if not os.path.isfile(contents):
            yield Passed(entry.path, "no download")
            continue
        try:
            with open(url, encoding="utf-8") as file:
                name = plain(file.read(_LONGEST).strip())
        except (OSError, UnicodeDecodeError, InvalidURLError):
            yield Passed(entry.path, "its URL cannot be read")
            continue
        yield Item(contents, (name,), extra=(url,))
