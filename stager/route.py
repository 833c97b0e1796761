"""Where a transfer's next exchange goes: to a mirror, or where its redirects lead. Pure.

At most `MAX_REDIRECTS` from one mirror, and from https to nothing else. What a server that is led to gets
to know of us is `asking`'s; whether it may be asked at all, the service's `target_policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stager.errors import InvalidURLError, RedirectError, TargetRefusedError
from stager.urls import redact, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from credentials.errors import FscacheError
    from stager.mirrors import Mirrors
    from stager.urls import Target

MAX_REDIRECTS = 10


class Route:
    """The way to one URL's bytes."""

    def __init__(self, targets: Sequence[Target], mirrors: Mirrors) -> None:
        """Begin at the first of `targets`, which `mirrors` takes turns with."""
        self._targets = targets
        self._mirrors = mirrors
        self._hops = 0
        self.target = targets[0]
        """Where the next exchange goes."""

    @property
    def mirror(self) -> Target:
        """Where the redirects began."""
        return self._targets[self._mirrors.current]

    @property
    def causes(self) -> tuple[FscacheError, ...]:
        """The last error of each mirror asked."""
        return tuple(self._mirrors.causes.values())

    @property
    def recoverable(self) -> bool:
        """See `Mirrors`."""
        return self._mirrors.recoverable

    def redirect(self, location: str) -> None:
        """Go where the target points to.

        Raises:
            RedirectError: it points to nowhere, out of https, or this has gone on for too long.
            TargetRefusedError: it points to what is no URL that could be asked for.
        """
        here = redact(self.target.url)
        if not location:
            raise RedirectError(here, "redirects to nowhere")
        self._hops += 1
        if self._hops > MAX_REDIRECTS:
            raise RedirectError(here, f"more than {MAX_REDIRECTS} redirects")
        try:
            target = resolve(self.target, location)
        except InvalidURLError as error:
            raise TargetRefusedError(here, f"redirects to {error.url}: {error.why}") from None
        if self.target.scheme == "https" and target.scheme != "https":
            raise RedirectError(here, f"redirects from https to {redact(target.url)}")
        self.target = target

    def failed(self, error: FscacheError, at: int) -> float | None:
        """Go to the mirror that follows a failure; return the pause in s, None to give up.

        Args:
            error: What the mirror, or where it led, failed with.
            at: See `Mirrors.failed`.
        """
        pause = self._mirrors.failed(error, at)
        if pause is not None:
            self.target = self.mirror
            self._hops = 0
        return pause
