"""Older stores to be brought over, and the bringing."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from fscache.migrate.migration import Migration
from fscache.migrate.readers import detect
from fscache.migrate.urls import URLList

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.migrate.item import Passed
    from fscache.migrate.migration import Migrated
    from fscache.records.root import Root

BODIES = {f"file{number}.nc": b"body %d, " % number * (100 + number) for number in range(4)}


def url_of(name: str) -> str:
    return f"https://host.example/path/{name}"


def put(path: str, data: bytes) -> str:
    """Write a file, and the directories above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def migrate(
    root: Root,
    source: str,
    *,
    form: str | None = None,
    lines: Iterable[str] = (),
    base_url: str = "",
    passed: list[Passed] | None = None,
    **options: Any,
) -> Migrated:
    """Bring a store over, as the command does."""
    urls = URLList.parse(lines, base_url)
    work = Migration(root, source, form or detect(source), urls)
    settings = {"by": "ann@host", "link": True, "remove": False, **options}
    report = (lambda _what: None) if passed is None else passed.append
    return work.run(report=report, **settings)


# -- fixtures of layouts, as the tools of today make them -------------------------------------


def flat(top: str, name: str = "sha256", split: int = 0) -> dict[str, str]:
    """Make `<dir>/<hash>`, or `<dir>/ab/cdef…`; return the hash of each body's name."""
    made = {}
    for each, body in BODIES.items():
        digits = hashlib.new(name, body).hexdigest()
        made[each] = digits
        put(f"{top}/{digits[:split]}/{digits[split:]}" if split else f"{top}/{digits}", body)
    return made


def pooch(top: str) -> dict[str, str]:
    """Make what `pooch.retrieve` leaves."""
    made = {}
    for name, body in BODIES.items():
        url = url_of(name)
        made[name] = put(f"{top}/{hashlib.md5(url.encode()).hexdigest()}-{name}", body)
    return made


def astropy(top: str) -> dict[str, str]:
    """Make what `astropy.utils.data.download_file(cache=True)` leaves."""
    made = {}
    for name, body in BODIES.items():
        url = url_of(name)
        directory = f"{top}/download/url/{hashlib.md5(url.encode()).hexdigest()}"
        made[name] = put(f"{directory}/contents", body)
        put(f"{directory}/url", url.encode())
    return made


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_sha1(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def huggingface(top: str, repository: str = "models--org--name") -> dict[str, str]:
    """Make what `hf_hub_download` leaves: one large file by SHA-256, the others by git's SHA-1."""
    made = {}
    for number, (name, body) in enumerate(BODIES.items()):
        etag = git_sha1(body) if number else hashlib.sha256(body).hexdigest()
        made[name] = put(f"{top}/{repository}/blobs/{etag}", body)
        link = f"{top}/{repository}/snapshots/{COMMIT}/sub/{name}"
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(os.path.relpath(made[name], os.path.dirname(link)), link)
    put(f"{top}/{repository}/refs/main", COMMIT.encode())
    put(f"{top}/{repository}/refs/pr/1", COMMIT.encode())
    return made


def hub_url(name: str, revision: str = COMMIT, prefix: str = "") -> str:
    return f"https://huggingface.co/{prefix}org/name/resolve/{revision}/sub/{name}"
