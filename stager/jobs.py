"""From what a caller writes down to a `Job`: everything that can be wrong with it is found here. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from stager.checks import parse_checksum
from stager.errors import InvalidURLError
from stager.urls import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from credentials.model import Credential
    from stager.checks import Promise
    from stager.destination import Validator
    from stager.urls import Target

# What the transfer itself decides, and what frames the message.
_OURS = frozenset(
    {
        "Accept-Encoding",
        "Connection",
        "Content-Length",
        "Host",
        "If-Match",
        "If-Modified-Since",
        "If-None-Match",
        "If-Range",
        "If-Unmodified-Since",
        "Range",
        "Te",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    }
)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Job:
    """What is wanted."""

    home: Target
    """The URL asked for; it names the entry."""
    mirrors: tuple[Target, ...]
    """Where to get it, in this order."""
    checksum: Promise | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """The caller's, names in `Title-Case`."""
    revalidate: Validator | None = None
    """Fetch only if the server no longer has this."""


def make_job(
    urls: str | Sequence[str],
    checksum: str | None,
    *,
    headers: Mapping[str, str],
    credential: Credential | None,
    revalidate: Validator | None,
    schemes: Container[str],
    rewrite: Callable[[str], Sequence[str]] | None,
) -> Job:
    """Return the job.

    Args:
        urls: The URL and its mirrors.
        checksum: `algorithm:hex`.
        headers: From `checked_headers`.
        credential: For the host of the first URL.
        revalidate: What the caller has.
        schemes: Those that can be fetched.
        rewrite: The site's mirrors for a URL.

    Raises:
        InvalidURLError: for any of the URLs.
        InvalidChecksumError: for the checksum.
    """
    asked = [urls] if isinstance(urls, str) else list(urls)
    if not asked:
        raise InvalidURLError("", "no URL given")
    targets = [parse(url, schemes) for url in asked]
    if credential is not None:
        targets[0] = replace(targets[0], credential=credential)
    mirrors = targets
    if rewrite is not None:
        mirrors = []
        for target in targets:
            urls = rewrite(target.url) or [target.url]
            mirrors += [target if url == target.url else parse(url, schemes) for url in urls]
    if len(mirrors) > 1:
        mirrors = list({mirror.url: mirror for mirror in mirrors}.values())
    return Job(
        targets[0],
        tuple(mirrors),
        None if checksum is None else parse_checksum(checksum),
        headers,
        revalidate,
    )


def job_key(job: Job) -> object:
    """Return what two jobs must share to be one flight: all that may change the outcome."""
    home = job.home
    if job.mirrors == (home,) and not (
        home.credential or job.checksum or job.headers or job.revalidate
    ):
        return home.url  # nearly every job; thousands of small tuples cost the collector time
    return (
        job.home.url,
        job.mirrors,
        tuple(mirror.credential for mirror in (job.home, *job.mirrors)),
        job.checksum,
        tuple(sorted(job.headers.items())),
        job.revalidate,
    )


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the caller's headers, names in `Title-Case`.

    Raises:
        ValueError: a name or value that would break out of its line, or one that is not the
            caller's to set.
        TypeError: something is no text, or no mapping.
    """
    if not isinstance(headers, Mapping | None):
        raise TypeError(f"headers are a mapping of names to values, not {type(headers).__name__}")
    checked = {}
    for name, value in (headers or {}).items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(
                f"a header's name and value are text: {name!r:.100}"
            )  # it may be secret
        titled = name.title()
        if not _NAME.fullmatch(name) or titled in _OURS:
            raise ValueError(f"header {name!r} cannot be set")
        if _BAD_VALUE.search(value):
            raise ValueError(f"the value of header {name!r} holds a control character")
        checked[titled] = value
    return checked
