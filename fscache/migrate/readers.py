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
        StoreError: a file, and none of `FILES`.
    """
    if metastore.recognises(top):
        from fscache.migrate import taskdb

        return "ipyparallel" if taskdb.recognises(top) else "metastore"
    if not os.path.isdir(top) and os.path.exists(top):
        why = "neither a directory nor an SQLite file, of a metastore or of ipyparallel"
        raise StoreError(path=top, why=why)
    with os.scandir(top) as scan:
        names = [entry.name for entry, _ in zip(scan, range(_LOOKED_AT), strict=False)]
    if "FORMAT" in names and "objects" in names:
        return "fscache"
    if any(map(_HUB.fullmatch, names)) or _HUB.fullmatch(os.path.basename(top)):
        return "huggingface"
    if os.path.isdir(f"{top}/download/url") or any(
        os.path.isfile(f"{top}/{name}/contents") for name in names[:10]
    ):
        return "astropy"
    if any(map(_POOCH.fullmatch, names)):
        return "pooch"
    return "directory"
