"""Reading a cache of huggingface_hub: `models--org--name/{blobs,refs,snapshots}`.

Each file of each snapshot is a link to a blob; the blob's name is the origin's ETag, and the SHA-256
of the bytes (large files) or git's SHA-1 (small ones), so that they are verified. A file gets the URL
of its commit, and of every branch or tag that stood for that commit.
"""

from __future__ import annotations

import os
from urllib.parse import quote

from fscache.fs.walk import files
from fscache.migrate.checks import GIT
from fscache.migrate.item import Item, Passed
from fscache.objects.layout import is_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.migrate.item import Found
    from fscache.migrate.urls import URLList

ENDPOINT = "https://huggingface.co"
_PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}


def read(top: str, _urls: URLList, endpoint: str = ENDPOINT) -> Iterator[Found]:
    """Yield every blob that a snapshot names; `top` is the cache directory, or a repository in it."""
    repositories = (
        [top]
        if _repository(os.path.basename(top))
        else sorted(entry.path for entry in os.scandir(top) if _repository(entry.name))
    )
    real_top = os.path.realpath(top)
    for path in repositories:
        yield from _read(path, real_top, endpoint)


def _repository(name: str) -> str | None:
    """Return the part of a URL that names a repository, from a directory's name."""
    kind, *words = name.split("--")
    if kind not in _PREFIXES or not words:
        return None
    # A name may hold the separator, an organisation may not.
    return _PREFIXES[kind] + "/".join(filter(None, (words[0], "--".join(words[1:]))))


def _read(path: str, top: str, endpoint: str) -> Iterator[Found]:
    revisions = _revisions(f"{path}/refs")
    base = f"{endpoint}/{_repository(os.path.basename(path))}/resolve"
    blobs: dict[str, list[tuple[str, list[str]]]] = {}
    for link in files(f"{path}/snapshots"):
        commit, _, name = link.path[len(f"{path}/snapshots/") :].partition("/")
        blob = os.path.realpath(link.path)
        if not os.path.isfile(blob):
            yield Passed(link.path, "its blob is not there")
        elif not blob.startswith(f"{top}/"):
            yield Passed(link.path, "it leads out of the cache")
        else:
            urls = [
                f"{base}/{quote(revision, safe='')}/{quote(name)}"
                for revision in (commit, *revisions.get(commit, ()))
            ]
            blobs.setdefault(blob, []).append((link.path, urls))
    for blob, links in sorted(blobs.items()):
        names = tuple(sorted({url for _, urls in links for url in urls}))
        etag = os.path.basename(blob)
        extra = tuple(link for link, _ in links if link != blob)
        yield Item(blob, names, _expected(etag), _header(etag), extra)
    for entry in files(f"{path}/blobs"):
        if entry.name.endswith(".incomplete"):
            yield Passed(entry.path, "left by a download that did not end")
        elif os.path.realpath(entry.path) not in blobs:
            yield Passed(entry.path, "no snapshot names it")


def _revisions(directory: str) -> dict[str, list[str]]:
    """Return the branches and tags of each commit."""
    found: dict[str, list[str]] = {}
    for entry in files(directory):
        with open(entry.path, encoding="ascii", errors="replace") as file:
            found.setdefault(file.read(100).strip(), []).append(entry.path[len(directory) + 1 :])
    return found


def _expected(etag: str) -> dict[str, str] | None:
    if not is_hex(etag):
        return None
    return {64: {"sha256": etag}, 40: {GIT: etag}}.get(len(etag))


def _header(etag: str) -> str | None:
    return f'"{etag}"' if _expected(etag) else None
