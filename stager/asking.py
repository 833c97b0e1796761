"""What a server is asked, and what it gets to know of us: the request's headers.

Credentials go to the scheme, host and port they were looked up for. The caller's own headers go to
the host of the URL asked for; `Accept` and `Accept-Language`, which hold no secret, go everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stager.transports.base import Ask, Timeouts
from stager.urls import DEFAULT_PORTS, same_host, wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from credentials.model import Credential
    from stager.destination import Validator
    from stager.jobs import Job
    from stager.urls import Target

_EVERYWHERE = frozenset({"Accept", "Accept-Language"})


def ask_for(
    target: Target,
    mirror: Target,
    job: Job,
    *,
    user_agent: str,
    timeouts: Timeouts,
    credentials: Callable[[str, int | None], Credential | None],
    conditional: Validator | None,
    resume: tuple[int, str | None] | None,
) -> Ask:
    """Return the exchange to have with `target`.

    Args:
        target: Where it goes: the mirror, or where its redirects lead.
        mirror: Where the redirects began.
        job: What is wanted.
        user_agent: What servers are told.
        timeouts: Of the exchange.
        credentials: The credential for a host and port.
        conditional: Ask only for what differs from this.
        resume: The first byte wanted, and the `If-Range` that goes with it, if any.

    Raises:
        InvalidURLError: the host is no host name.
        CredentialError: a credential could not be looked up.
    """
    headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
    credential = _credential(target, mirror, job, credentials)
    if credential is not None:
        headers.update(credential.headers())
    if job.headers:
        at_home = same_host(job.home, target)
        headers |= {
            name: value for name, value in job.headers.items() if at_home or name in _EVERYWHERE
        }
    if conditional is not None:
        if conditional.etag is not None:
            headers["If-None-Match"] = conditional.etag
        elif conditional.last_modified is not None:
            headers["If-Modified-Since"] = conditional.last_modified
    if resume is not None:
        first, condition = resume
        headers["Range"] = f"bytes={first}-"
        if condition is not None:
            headers["If-Range"] = condition
    source = "" if credential is None else credential.source or "the program"
    return Ask(wire(target), headers, timeouts, source)


def _credential(
    target: Target,
    mirror: Target,
    job: Job,
    credentials: Callable[[str, int | None], Credential | None],
) -> Credential | None:
    for given in (mirror, job.home):
        if given.credential is not None and same_host(given, target):
            return given.credential
    if target.scheme not in DEFAULT_PORTS:
        return None  # the other protocols' libraries look for credentials themselves
    return credentials(target.host, target.port)
