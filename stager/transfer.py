"""One URL's way to its bytes: mirrors, redirects, retries, resume, verification; no network in it.

A driver asks `next_exchange` what to do, does it, and tells the answer to the transfer, which is the
sink of its exchanges. The blocking and the multi driver use it alike, so the rules stand here once:

- Bytes are kept as served. `identity` is asked for; should a server send a `Content-Encoding` all
  the same, the encoded bytes are the file (`x.tar.gz` served as "gzip of x.tar" is the usual case,
  and the published checksum is of `x.tar.gz`). Nothing is ever decoded.
- The bytes received are those announced. What fails in the middle is resumed by `Range` with
  `If-Range`; whatever makes it doubtful that the halves belong together starts over.
- Credentials go to the scheme, host and port they were looked up for. The caller's own headers go to
  the host of the URL asked for; `Accept` and `Accept-Language`, which hold no secret, go everywhere.
- A wrong checksum is the mirror's fault, unless bytes of an earlier attempt are in the file: then it
  is fetched once more from its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import xxhash

from credentials.errors import FscacheError
from stager import heads
from stager.body import Body
from stager.checks import DIGEST, promises
from stager.destination import Staged
from stager.errors import (
    AllMirrorsFailedError,
    ChecksumError,
    DestinationError,
    InvalidURLError,
    LengthError,
    NoSpaceError,
    RedirectError,
    StageError,
    TargetRefusedError,
)
from stager.mirrors import Mirrors
from stager.transports.base import Ask, Exchange, Timeouts
from stager.urls import DEFAULT_PORTS, redact, resolve, same_host, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credentials.model import Credential
    from stager.checks import Promise
    from stager.destination import Claim, Destination, Validator
    from stager.request import Meter
    from stager.retry import RetryPolicy
    from stager.transports.base import Head
    from stager.urls import Target

MAX_REDIRECTS = 10
_EVERYWHERE = {"Accept", "Accept-Language"}


class AbandonedError(Exception):
    """Raised into the transport when nobody waits for the transfer any more; never leaves here."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after a pause."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: a path, an error, or neither when the transfer was abandoned."""

    path: str | None = None
    error: Exception | None = None


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


@dataclass(frozen=True, slots=True)
class Setup:
    """What all transfers of a service share."""

    destination: Destination
    credentials: Callable[[str, int | None], Credential | None]
    user_agent: str
    policy: RetryPolicy
    timeouts: Timeouts
    target_policy: Callable[[str], None] | None
    now: Callable[[], float]
    """Seconds of the Unix clock."""
    dice: Callable[[], float]
    """From [0, 1)."""


class Transfer:
    """The state machine; used by one thread at a time, except for `abandoned`."""

    __slots__ = ("_after", "_again", "_body", "_claim", "_conditional", "_finished", "_first", "_hops")
    __slots__ += ("_job", "_location", "_mirrors", "_pause", "_promises", "_reading", "_setup", "_url")
    __slots__ += ("_unmodified", "_verdict", "abandoned", "target")

    def __init__(
        self, job: Job, claim: Claim, setup: Setup, meter: Meter, after: Callable[[], None]
    ) -> None:
        """Begin.

        Args:
            job: What is wanted.
            claim: Of `job.home`; the transfer commits or releases it.
            setup: What is shared.
            meter: Counts for the requests.
            after: Called at the end of each exchange, when `next_exchange` may be asked again.
        """
        self._job = job
        self._claim = claim
        self._setup = setup
        self._after = after
        self._url = redact(job.home.url)
        self._body = Body(self._url, claim, setup.destination, meter)
        self._mirrors = Mirrors(len(job.mirrors), setup.policy, setup.dice)
        self.target = job.mirrors[0]
        """Where the next exchange goes."""
        self._hops = 0
        self._conditional = job.revalidate
        self._pause = 0.0
        self._finished: Finished | None = None
        self.abandoned = False
        """Set it (from any thread) to end the transfer at its next bytes."""
        self._clear()

    # --- towards the driver ------------------------------------------------------------------

    def next_exchange(self) -> Exchange | Wait | Finished:
        """Return what to do now: ask a server, wait, or take the outcome."""
        while True:
            if self.abandoned and self._finished is None:
                self._finish(Finished(), keep=True)
            if self._finished is not None:
                return self._finished
            if self._pause:
                pause, self._pause = self._pause, 0.0
                return Wait(pause)
            try:
                return Exchange(self._ask(), self, self.ended)
            except FscacheError as error:
                self._mirror_failed(error)
            except OSError as error:
                self._finish(Finished(error=self._body.translated(error)))
            except Exception as error:  # noqa: BLE001 - a fault of ours: the waiters must learn of it
                self._finish(Finished(error=error))

    def ended(self, error: Exception | None) -> None:
        """Take the end of the exchange: None, or what the transport or this sink raised."""
        try:
            self._settle(error)
        except FscacheError as failure:
            self._fail(failure)
        except OSError as failure:
            self._fail(self._body.translated(failure))
        except Exception as failure:  # noqa: BLE001 - a fault of ours: whoever waits must learn of it
            self._fail(failure)
        self._after()

    # --- towards the transport ---------------------------------------------------------------

    def on_head(self, head: Head) -> bool:
        """Take the head of an answer; False where its body is not wanted."""
        if self.abandoned:
            raise AbandonedError
        status, headers = head.status, head.headers
        if status == 200:
            if self._body.at:
                self._body.restart()
            self._begin(headers, 0, heads.content_length(headers))
            return True
        if status == 206 and self._first is not None:
            return self._go_on(headers)
        if status in heads.REDIRECTS:
            self._location = headers.get("location", "")
        elif status == 304 and self._conditional is not None:
            self._unmodified = headers
        elif status == 416 and self._first is not None:
            self._body.restart()
            self._again = True
        else:
            self._verdict = heads.status_error(
                redact(self.target.url), status, headers, self._setup.now()
            )
        return False

    def on_data(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the body."""
        if self.abandoned:
            raise AbandonedError
        self._body.write(data)

    # --- the rules ---------------------------------------------------------------------------

    def _ask(self) -> Ask:
        self._clear()
        job, setup, target = self._job, self._setup, self.target
        url = wire(target)
        if setup.target_policy is not None:
            setup.target_policy(url)
        headers = {"User-Agent": setup.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        mirror = job.mirrors[self._mirrors.current]
        credential = self._credential(mirror)
        if credential is not None:
            headers.update(credential.headers())
        if job.headers:
            at_home = same_host(job.home, target)
            for name, value in job.headers.items():
                if at_home or name in _EVERYWHERE:
                    headers[name] = value
        if self._conditional is not None:
            if self._conditional.etag is not None:
                headers["If-None-Match"] = self._conditional.etag
            elif self._conditional.last_modified is not None:
                headers["If-Modified-Since"] = self._conditional.last_modified
        resume = self._body.resume_from(_source(mirror))
        if resume is not None:
            self._first, headers["If-Range"] = resume
            headers["Range"] = f"bytes={self._first}-"
        return Ask(url, headers, setup.timeouts)

    def _credential(self, mirror: Target) -> Credential | None:
        target = self.target
        for given in (mirror, self._job.home):
            if given.credential is not None and same_host(given, target):
                return given.credential
        if target.scheme not in DEFAULT_PORTS:
            return None
        return self._setup.credentials(target.host, target.port)

    def _clear(self) -> None:
        """Forget the last answer."""
        self._first: int | None = None
        self._reading = False
        self._again = False
        self._location: str | None = None
        self._unmodified: Mapping[str, str] | None = None
        self._verdict: StageError | None = None

    def _begin(self, headers: Mapping[str, str], first: int, total: int | None) -> None:
        self._promises = promises(headers, whole=not first)
        if self._job.checksum is not None:
            self._promises.append(self._job.checksum)
        source = _source(self._job.mirrors[self._mirrors.current])
        self._body.begin(
            first,
            total,
            heads.validator(headers, total, source),
            {promise.algorithm for promise in self._promises},
        )
        self._reading = True

    def _go_on(self, headers: Mapping[str, str]) -> bool:
        span, kept = heads.content_range(headers), self._body.validator
        if (
            span is None
            or kept is None
            or span.first != self._first
            or not heads.same_resource(kept, headers, span.total)
        ):
            self._body.restart()
            self._again = True
            return False
        total = span.total
        if total is None:
            total = kept.size
        self._begin(headers, span.first, total)
        return True

    def _settle(self, error: Exception | None) -> None:
        if isinstance(error, AbandonedError) or self.abandoned:
            self._finish(Finished(), keep=True)
        elif error is not None:
            if isinstance(error, LengthError) and error.received > error.announced:
                self._body.restart()  # whose length is a lie, its bytes are not to be built on
            raise error
        elif self._verdict is not None:
            raise self._verdict
        elif self._location is not None:
            self._redirect(self._location)
        elif self._unmodified is not None:
            self._not_modified(self._unmodified)
        elif self._reading:
            self._complete()
        elif not self._again:
            raise DestinationError(self._url, "the transport brought no answer")

    def _redirect(self, location: str) -> None:
        here = redact(self.target.url)
        if not location:
            raise RedirectError(here, "redirects to nowhere")
        self._hops += 1
        if self._hops > MAX_REDIRECTS:
            raise RedirectError(here, f"more than {MAX_REDIRECTS} redirects")
        try:
            target = resolve(self.target, heads.utf8(location))
        except InvalidURLError as error:
            raise TargetRefusedError(here, f"redirects to {error.url}: {error.why}") from None
        if self.target.scheme == "https" and target.scheme != "https":
            raise RedirectError(here, f"redirects from https to {redact(target.url)}")
        self.target = target

    def _not_modified(self, headers: Mapping[str, str]) -> None:
        known = self._conditional
        self._conditional = None
        staged = Staged(
            url=self._job.home.url,
            fetched_from=redact(self.target.url),
            digest="",
            size=0 if known is None else known.size or 0,
            etag=headers.get("etag", known and known.etag),
            last_modified=headers.get("last-modified", known and known.last_modified),
        )
        path = self._setup.destination.touch(staged)
        checksum = self._job.checksum
        if path is not None and checksum is not None:
            pair = (checksum.algorithm, checksum.expected)
            path = self._setup.destination.lookup(self._job.home.url, pair)
        if path is not None:
            self._finish(Finished(path))

    def _complete(self) -> None:
        body = self._body
        digests = body.finish()
        for promise in self._promises:
            actual = digests[promise.algorithm]
            if actual != promise.expected:
                again = body.resumed
                body.restart()
                if again:
                    return
                raise ChecksumError(
                    redact(self.target.url),
                    promise.algorithm,
                    promise.expected,
                    actual,
                    promise.source,
                )
        kept = body.validator
        staged = Staged(
            url=self._job.home.url,
            fetched_from=redact(self.target.url),
            digest=digests[DIGEST],
            size=body.at,
            checksums={promise.algorithm: promise.expected for promise in self._promises},
            etag=kept and kept.etag,
            last_modified=kept and kept.last_modified,
        )
        self._finish(Finished(self._claim.commit(staged)))

    # --- failures ----------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        if isinstance(error, StageError) and not isinstance(error, (NoSpaceError, DestinationError)):
            self._mirror_failed(error)
        else:
            self._finish(Finished(error=error))

    def _mirror_failed(self, error: FscacheError) -> None:
        mirrors = self._mirrors
        pause = mirrors.failed(error, self._body.at)
        if pause is not None:
            self._pause = pause
            self.target = self._job.mirrors[mirrors.current]
            self._hops = 0
            return
        causes = tuple(mirrors.causes.values())
        one = causes[0] if len(causes) == 1 else AllMirrorsFailedError(self._url, causes)
        self._finish(Finished(error=one), keep=mirrors.recoverable)

    def _finish(self, finished: Finished, *, keep: bool = False) -> None:
        try:
            self._body.close(keep=keep)
        except Exception as error:  # noqa: BLE001 - the outcome must be told, whatever comes of the rest
            finished = Finished(finished.path, finished.error or error)
        self._finished = finished


def _source(mirror: Target) -> str:
    return xxhash.xxh3_128_hexdigest(mirror.url.encode())
