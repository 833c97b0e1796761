"""The formats that can be brought over, and which of them a path is."""

from __future__ import annotations

import os
import re

from fscache.errors import StoreError
from fscache.migrate import astropy, directory, huggingface, metastore, own, pooch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.migrate.item import Found
    from fscache.migrate.urls import URLList

    Reader = Callable[[str, URLList], Iterator[Found]]

READERS: dict[str, Reader] = {
    "directory": directory.read,
    "pooch": pooch.read,
    "astropy": astropy.read,
    "huggingface": huggingface.read,
    "fscache": own.read,
}
FILES = ("metastore", "ipyparallel")
"""Formats of one file, that hold no files: key-values, and task records."""
_LOOKED_AT = 1000
_POOCH = re.compile(r"[0-9a-f]{32}-.+", re.DOTALL)
_HUB = re.compile(r"(models|datasets|spaces)--.+", re.DOTALL)


def detect(top: str) -> str:
    """Return the format of a directory or a file, by what lies in it.

    Raises:
        FileNotFoundError, PermissionError: it cannot be read.
        StoreError: a file, and none of `FILES`; or what a store lies in, beside a tool's own files.
    """
    if metastore.recognises(top):
        from fscache.migrate import taskdb

        return "ipyparallel" if taskdb.recognises(top) else "metastore"
    if not os.path.isdir(top) and os.path.exists(top):
        why = "neither a directory nor an SQLite file, of a metastore or of ipyparallel"
        raise StoreError(path=top, why=why)
    names = _names(top, _LOOKED_AT)
    if "FORMAT" in names and "objects" in names:
        return "fscache"
    if any(map(_HUB.fullmatch, names)) or _HUB.fullmatch(os.path.basename(top)):
        return "huggingface"
    if os.path.isdir(f"{top}/download/url") or _has_downloads(top) or _has_downloads(f"{top}/url"):
        return "astropy"
    if any(map(_POOCH.fullmatch, names)):
        return "pooch"
    for store in ("hub", "cache/download"):
        # As a plain directory it would be brought over with all that is in it: tokens, settings.
        if os.path.isdir(f"{top}/{store}") and detect(f"{top}/{store}") != "directory":
            raise StoreError(path=top, why=f"the store is {top}/{store}; give that")
    return "directory"


def _has_downloads(directory: str) -> bool:
    """Whether there are downloads of astropy's."""
    return os.path.isdir(directory) and any(
        os.path.isfile(f"{directory}/{name}/contents") for name in _names(directory, 10)
    )


def _names(directory: str, most: int) -> list[str]:
    """Return some of the names in a directory."""
    with os.scandir(directory) as scan:
        return [entry.name for entry, _ in zip(scan, range(most), strict=False)]
