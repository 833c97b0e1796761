"""The daemon's stager, which a reload replaces: new requests get the new one, those under way land.

For as long as both work, a URL that both are asked for is fetched once all the same: the claim of its
partial file holds within a process, too.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from credentials.model import Credential
    from fscache.config import Config
    from fscache.urls.entry import URLEntry
    from fscache.urls.fetcher import Fetcher
    from stager.request import FetchRequest

    Miss = tuple[Sequence[str], str | None, URLEntry | None]


class Renewable:
    """A `Fetcher` made anew by `renew`."""

    def __init__(self, make: Callable[[Config], Fetcher], config: Config) -> None:
        """Fetch with what `make` makes of `config`."""
        self._make = make
        self._mutex = threading.Lock()
        self._current = make(config)
        self._landing: set[Fetcher] = set()

    def submit(
        self,
        misses: Sequence[Miss],
        *,
        credential: Credential | None,
        headers: Mapping[str, str] | None,
    ) -> list[FetchRequest]:
        """Start fetching; see `Fetcher.submit`."""
        with self._mutex:
            return self._current.submit(misses, credential=credential, headers=headers)

    def renew(self, config: Config) -> None:
        """Fetch by other settings from now on."""
        made = self._make(config)
        with self._mutex:
            before, self._current = self._current, made
            self._landing.add(before)
        threading.Thread(target=self._land, args=(before,), name="landing", daemon=True).start()

    def close(self) -> None:
        """Stop; partial files stay."""
        with self._mutex:
            all_of_them = [self._current, *self._landing]
        for each in all_of_them:
            each.close()

    def _land(self, fetcher: Fetcher) -> None:
        fetcher.land()
        with self._mutex:
            self._landing.discard(fetcher)
