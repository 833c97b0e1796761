"""`Admin`: what an administrator asks of a cache, as `Cache.admin` offers it.

The answers are plain mappings (`fscache.admin.forms`), so that a server gives the same ones.
"""

from __future__ import annotations

import os

from fscache.admin import forms
from fscache.admin.keeper import Keeper
from fscache.objects.layout import format_address, parse_address
from fscache.records.root import translated
from fscache.telling import warn
from fscache.urls.names import is_url, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from fscache.config import Config
    from fscache.objects.purge import Candidate, Policy
    from fscache.records.root import Root


class Admin:
    """The administrator's side of one root."""

    def __init__(
        self,
        root: Root,
        config: Config,
        *,
        locate: Callable[[str], object],
        fetch: Callable[[str], object],
    ) -> None:
        """Look after a root.

        Args:
            root: The root.
            config: Its limits.
            locate: Finds a URL or an address; raises where it is not here.
            fetch: Brings a URL that is not here.
        """
        self._root = root
        self._config = config
        self._locate = locate
        self._fetch = fetch

    def ls(
        self,
        filters: Iterable[str] = (),
        *,
        kind: str | None = None,
        sort: str = "atime",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return what is in the cache; see `fscache.records.listing` for kinds and orders.

        Args:
            filters: Such as `size>1GiB`, `accessed>7d` (longer ago), `url~host/path`; all must hold.
            kind: Only entries of this kind; with `object`, every object under its address.
            sort: What comes first: atime (used last), size, age, name, hits.
            reverse: The other way round.
            limit: The most rows.

        Raises:
            InvalidFilterError: a filter cannot be read.
            TypeError, ValueError: there is no such kind or order, or the limit is no number from 0 on.
            NotACacheError: nothing was ever kept here.
        """
        from fscache.admin.checks import check_filters, check_numbers
        from fscache.admin.look import find
        from fscache.records.filters import parse_filter
        from fscache.records.listing import KINDS, ORDERS, Query

        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}")
        if sort not in ORDERS:
            raise ValueError(f"sort is one of {', '.join(ORDERS)}")
        check_numbers(limit=limit)
        query = Query(
            kind=kind,
            conditions=[parse_filter(text) for text in check_filters(filters)],
            order=sort,
            reverse=reverse,
        )
        keeper = self._keeper()
        return keeper.ask(
            lambda catalog: [forms.listed(row) for row in find(keeper, catalog, query, limit)]
        )

    def du(self) -> dict[str, Any]:
        """Return how much there is: in all, by kind, host and age, and what it takes of the disk.

        Raises:
            NotACacheError: nothing was ever kept here.
        """
        from fscache.admin.sums import measure

        return forms.used(*measure(self._keeper()))

    def purge(
        self,
        *,
        older_than: float | None = None,
        max_size: int | None = None,
        min_free: str | None = None,
        low_water: float | None = None,
        grace: float | None = None,
        match: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Remove what was used least recently; without a reason, by the limits of the configuration.

        Args:
            older_than: What nobody asked for in so many seconds.
            max_size: Until the objects take no more bytes.
            min_free: Until so much of the disk is free: `10%`, `500GiB`.
            low_water: If a limit is passed, come down to this share of it.
            grace: Spare what was used in the last so many seconds.
            match: Only what all names of fit this pattern.
            dry_run: Remove nothing.

        Returns:
            Objects (their number), freed, used, short, spared (by reason), dry_run, and `candidates`:
            what went, or would go, as address, size, accessed and name.

        Raises:
            TypeError, ValueError: an argument is no such number or text, or a pattern says which without
                any reason that says how many.
            LockTimeoutError: somebody held a lock for too long.
            NotACacheError: nothing was ever kept here.
        """
        from fscache.admin.checks import check_numbers, check_texts

        check_numbers(older_than=older_than, max_size=max_size, grace=grace)
        check_numbers(1, low_water=low_water)
        check_texts(min_free=min_free, match=match)
        from fscache.admin.purge import Purge, Purged
        from fscache.admin.room import policy_for

        taken: list[dict[str, object]] = []

        def each(candidate: Candidate, name: Callable[[str], str]) -> None:
            taken.append(forms.candidate(candidate, name(candidate.address)))

        policy: Policy | None = policy_for(
            self._root,
            self._config,
            older_than=older_than,
            max_size=max_size,
            min_free=min_free,
            low_water=low_water,
            grace=grace,
        )
        if policy is None and match is not None:
            raise ValueError("match says which, and not how many: give a limit too")
        done = Purged(used=0)
        if policy is not None:
            work = Purge(self._keeper(), policy, match=match, each=each)
            done = work.plan() if dry_run else work.run()
        return {**forms.purged(done, dry_run=dry_run), "candidates": taken}

    def pin(self, name: str, *, by: str = "") -> bool:
        """Keep a URL's object, now and later, or an address's, from being purged.

        Args:
            name: What is here.
            by: Kept for people; this user by default.

        Returns:
            False if it was pinned already.

        Raises:
            NotCachedError: it is not here.
            InvalidAddressError: neither a URL nor an address.
        """
        self._locate(name)
        keeper = self._keeper()
        with translated(self._root.path):
            return keeper.pins.add(pin_name(name), by=by or user())

    def unpin(self, name: str) -> bool:
        """Let what was pinned be purged again; False if it was not pinned.

        Raises:
            InvalidAddressError: neither a URL nor an address.
            TypeError: it is no text.
        """
        known = pin_name(name)
        keeper = self._keeper()
        with translated(self._root.path):
            return keeper.pins.remove(known)

    def verify(
        self,
        *,
        sample: float = 1.0,
        unverified_for: float | None = None,
        rate: float | None = None,
        repair: bool = False,
    ) -> dict[str, Any]:
        """Hash objects again, and find what is not where it belongs.

        Args:
            sample: The random share of the objects to hash, 0 to 1.
            unverified_for: Hash only what was not verified for so many seconds.
            rate: Read no more bytes a second.
            repair: Move what is bad to quarantine, and fetch it again from its URL.

        Returns:
            Objects, hashed, bytes, entries, found, repaired, and `findings`.

        Raises:
            TypeError, ValueError: a share, a time or a rate that makes no sense.
            NotACacheError: nothing was ever kept here.
        """
        from fscache.admin.checks import check_numbers

        check_numbers(1, sample=sample)
        check_numbers(unverified_for=unverified_for, rate=rate)
        if rate == 0:
            raise ValueError("rate is more than 0")
        import random

        from fscache.admin.repair import Repairer
        from fscache.admin.verify import Selection, Throttle, Verifier

        keeper = self._keeper()
        verifier = Verifier(
            keeper,
            selection=Selection(sample, unverified_for),
            random=random.Random(),
            throttle=None if rate is None else Throttle(rate),
        )
        repairer = Repairer(keeper, self._fetch) if repair else None
        found = []
        for finding in verifier.run():
            if repairer is not None:
                repairer.repair(finding)
                verifier.done.repaired += bool(finding.repaired)
            found.append(forms.finding(finding))
        return {**forms.verified(verifier.done), "findings": found}

    def reindex(self) -> dict[str, Any]:
        """Make the catalog anew from the files; return objects, bytes, entries, new, gone, strays.

        Raises:
            NotACacheError: nothing was ever kept here.
        """
        return forms.surveyed(self._keeper().reindex())

    def _keeper(self) -> Keeper:
        return Keeper(self._root, say=warn)


def user() -> str:
    """Return who runs this, for people."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's numeric user without a name
        return str(os.geteuid())


def pin_name(name: str) -> str:
    """Return a name as pins have it: a URL without user information, or an address.

    Raises:
        InvalidURLError, InvalidAddressError: neither of the two.
        TypeError: no text.
    """
    return plain(name) if is_url(name) else format_address(*parse_address(name))
