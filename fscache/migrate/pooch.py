"""Reading a cache directory of pooch: `<md5 of the URL>-<name>`, or a registry's names.

pooch keeps no URLs: a list of them, or its registry file with the base URL, says what the files stand
for. Files that are neither in it keep their bytes and lose nothing, but are found by address only.
"""

from __future__ import annotations

import os
import re

from fscache.fs.walk import files
from fscache.migrate.item import Item, Passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.migrate.item import Found
    from fscache.migrate.urls import URLList

_TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}")  # Python's tempfile, left by a download that was killed
_UNPACKED = (".unzip", ".untar", ".decomp")


def read(top: str, urls: URLList) -> Iterator[Found]:
    """Yield every file below `top`."""
    for entry in files(top):
        name = entry.path[len(top) + 1 :]
        if not entry.is_file(follow_symlinks=False):
            yield Passed(entry.path, "not a regular file")
        elif _TEMPORARY.fullmatch(os.path.basename(name)):
            yield Passed(entry.path, "left by a download that did not end")
        elif any(part.endswith(_UNPACKED) for part in name.split("/")):
            yield Passed(entry.path, "unpacked from another file")
        else:
            known = urls.of(name)
            yield Item(entry.path, tuple(known.urls), known.expected)
