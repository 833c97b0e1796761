"""One URL's bytes, fetched: retries, resume, verification, commit; no network in it.

A driver asks `next_exchange` what to do, does it, and tells how it ended. The answer has meanwhile gone
to the transfer's `reception`. The blocking and the multi driver use both alike, so the rules stand here
once:

- Bytes are kept as served. `identity` is asked for; should a server send a `Content-Encoding` all
  the same, the encoded bytes are the file (`x.tar.gz` served as "gzip of x.tar" is the usual case,
  and the published checksum is of `x.tar.gz`). Nothing is ever decoded.
- The bytes received are those announced. What fails in the middle is resumed by `Range` with
  `If-Range`; whatever makes it doubtful that the halves belong together starts over. A server that
  says nothing of which file it is (package indices are such) is resumed where the caller has a checksum.
- A wrong checksum is the mirror's fault, unless bytes of an earlier attempt are in the file: then it
  is fetched once more from its start.

Which server is asked next is `route`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash

from credentials.errors import FscacheError
from stager import heads
from stager.asking import ask_for
from stager.body import Body
from stager.checks import DIGEST
from stager.destination import Staged, Validator
from stager.errors import (
    AllMirrorsFailedError,
    ChecksumError,
    ConnectionFailedError,
    DestinationError,
    InvalidURLError,
    LengthError,
    NoSpaceError,
    StageError,
)
from stager.mirrors import Mirrors
from stager.reception import AbandonedError, Reception
from stager.route import Route
from stager.steps import Finished, Wait
from stager.transports.base import Ask, Exchange
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from stager.destination import Claim
    from stager.jobs import Job
    from stager.request import Meter
    from stager.steps import Setup
    from stager.urls import Target


class Transfer:
    """The state machine; used by one thread at a time, except for `abandoned`."""

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
        self._body = Body(
            self._url, claim, setup.destination, meter, promised=job.checksum is not None
        )
        self._reception = Reception(self._body, meter, job.checksum)
        self._route = Route(job.mirrors, Mirrors(len(job.mirrors), setup.policy, setup.dice))
        self._conditional = job.revalidate
        self._pause = 0.0
        self._credential_from = ""
        self._finished: Finished | None = None

    # --- towards the driver ------------------------------------------------------------------

    @property
    def abandoned(self) -> bool:
        """Whether to end at the next bytes; set from any thread."""
        return self._reception.abandoned

    @abandoned.setter
    def abandoned(self, abandoned: bool) -> None:
        self._reception.abandoned = abandoned

    @property
    def target(self) -> Target:
        """Where the next exchange goes."""
        return self._route.target

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
                return Exchange(self._ask(), self._reception, self.ended)
            except FscacheError as error:
                self._mirror_failed(error)
            except OSError as error:
                self._finish(Finished(error=self._body.translated(error)))
            except Exception as error:  # noqa: BLE001 - a fault of ours: the waiters must learn of it
                self._finish(Finished(error=error))

    def ended(self, error: Exception | None) -> None:
        """Take the end of the exchange: None, or what the transport or its sink raised."""
        try:
            self._settle(error)
        except FscacheError as failure:
            self._fail(failure)
        except OSError as failure:
            self._fail(self._body.translated(failure))
        except Exception as failure:  # noqa: BLE001 - as in next_exchange
            self._fail(failure)
        self._after()

    # --- the rules ---------------------------------------------------------------------------

    def _ask(self) -> Ask:
        setup = self._setup
        if setup.target_policy is not None:
            setup.target_policy(self.target.url)
        source = xxhash.xxh3_128_hexdigest(self._route.mirror.url.encode())
        resume = self._body.resume_from(source) if self._body.at else None
        self._reception.expect(
            source,
            None if resume is None else resume[0],
            conditional=self._conditional is not None,
        )
        ask = ask_for(
            self.target,
            self._route.mirror,
            self._job,
            user_agent=setup.user_agent,
            timeouts=setup.timeouts,
            credentials=setup.credentials,
            conditional=self._conditional,
            resume=resume,
        )
        self._credential_from = ask.credential_from
        return ask

    def _settle(self, error: Exception | None) -> None:
        answer = self._reception.answer
        if self.abandoned or isinstance(error, AbandonedError):
            self._finish(Finished(), keep=True)
        elif error is not None:
            if isinstance(error, LengthError) and error.received > error.announced:
                self._body.restart()  # whose length is a lie, its bytes are not to be built on
            raise error
        elif isinstance(answer, heads.Bytes):
            self._complete()
        elif isinstance(answer, heads.Moved):
            self._route.redirect(answer.location)
        elif isinstance(answer, heads.Refused):
            raise heads.status_error(
                redact(self.target.url),
                answer.status,
                self._reception.headers,
                self._credential_from,
            )
        elif isinstance(answer, heads.Unframed):
            why = f"the length that it announces is none: {answer.length!r:.40}"
            raise ConnectionFailedError(redact(self.target.url), why, lasting=True)
        elif isinstance(answer, heads.StartOver):
            self._body.restart()
        elif isinstance(answer, heads.Unmodified) and self._conditional is not None:
            self._not_modified(self._conditional)
        else:
            raise DestinationError(self._url, "the transport brought no answer")

    def _not_modified(self, known: Validator) -> None:
        self._conditional = None
        path = self._setup.destination.touch(
            Staged(
                url=self._job.home.url,
                fetched_from=redact(self.target.url),
                digest="",
                size=known.size or 0,
                etag=self._reception.headers.get("etag") or known.etag,
                last_modified=self._reception.headers.get("last-modified") or known.last_modified,
            )
        )
        checksum = self._job.checksum
        if path is not None and checksum is not None:
            path = self._setup.destination.lookup(self._job.home.url, checksum.pair)
        if path is not None:
            self._finish(Finished(path))
        # else it is gone here, or has another checksum: the next exchange asks without condition

    def _complete(self) -> None:
        body = self._body
        digests = body.finish()
        for promise in self._reception.promises:
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
        kept = body.validator or Validator()
        staged = Staged(
            url=self._job.home.url,
            fetched_from=redact(self.target.url),
            digest=digests[DIGEST],
            size=body.at,
            checksums={promise.algorithm: promise.expected for promise in self._reception.promises},
            etag=kept.etag,
            last_modified=kept.last_modified,
        )
        try:
            path = self._claim.commit(staged)
        except OSError as error:
            self._finish(Finished(error=body.translated(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, no mirror can help
            self._finish(Finished(error=error))
        else:
            self._finish(Finished(path))

    # --- failures ----------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        final = isinstance(error, (NoSpaceError, DestinationError))
        if isinstance(error, (StageError, InvalidURLError)) and not final:
            self._mirror_failed(error)
        else:
            self._finish(Finished(error=error))

    def _mirror_failed(self, error: FscacheError) -> None:
        if self.target is not self._route.mirror:
            # The error is of where redirects led; a traceback also says where they began.
            error.add_note(f"redirected from {redact(self._route.mirror.url)}")
        pause = self._route.failed(error, self._body.at)
        if pause is not None:
            self._pause = pause
            return
        causes = self._route.causes
        one = causes[0] if len(causes) == 1 else AllMirrorsFailedError(self._url, causes)
        self._finish(Finished(error=one), keep=self._route.recoverable)

    def _finish(self, finished: Finished, *, keep: bool = False) -> None:
        try:
            self._body.close(keep=keep)
        except Exception as error:  # noqa: BLE001 - the outcome must be told, whatever this brings
            finished = Finished(finished.path, finished.error or error)
        self._finished = finished
