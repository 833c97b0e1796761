"""The stager, wired to one root: destination, credentials, transports, limits.

Made when a cache first has to fetch something; a process that only hits never imports it.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from credentials.chain import default_chain
from credentials.errors import FscacheError
from credentials.model import Credential
from fscache import __version__
from fscache.paths import as_path
from fscache.telling import warn
from fscache.urls.destination import CacheDestination
from stager.destination import Validator
from stager.errors import TargetRefusedError
from stager.proxies import Proxies
from stager.request import FetchRequest, Meter
from stager.retry import RetryPolicy
from stager.service import FetchService
from stager.transports import default_transports
from stager.transports.base import Timeouts
from stager.urls import DEFAULT_PORTS, parse, redact, site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fscache.config import Config
    from fscache.records.root import Root
    from fscache.urls.entry import URLEntry
    from fscache.urls.index import URLIndex
    from stager.lanes import Origin
    from stager.transports import Transports
    from stager.urls import Target

_SHARED = 4
"""How many times as many connections a process and its helpers have as the process alone, unless somebody
has set how many. A server whose files take the processor here has little to do for each."""
USER_AGENT = f"fscache/{__version__}"


class Loan(NamedTuple):
    """Connections for helpers."""

    helpers: int
    """How many there may be."""
    share: int
    """Connections that each of them has, and the process itself."""
    home: str
    """What their URLs begin with: they get nothing secret, and so must not be sent elsewhere."""
    give_back: Callable[[], None]
    """To be called when they have ended."""


class Fetcher:
    """Fetches URLs into one root."""

    def __init__(
        self,
        root: Root,
        index: URLIndex,
        config: Config,
        *,
        transports: Transports | None = None,
        credentials: Callable[[str, int | None], Credential | None] | None = None,
        target_policy: Callable[[str], None] | None = None,
    ) -> None:
        """Wire a stager to `root`, which exists; sweeps what dead fetches left long ago.

        Args:
            root: Where the bytes go.
            index: Its URL entries.
            config: Limits and timeouts.
            transports: Who speaks which scheme; `transports_of(config)` by default.
            credentials: The credential for a host and port; the user's chain by default.
            target_policy: Called with every URL before it is asked for; raises to refuse it.
        """
        destination = CacheDestination(
            root, index, max_size=config.max_size, make_room=root.make_room
        )
        destination.sweep()
        self._credentials = credentials or _users_chain(config)
        self._shared_connections = config.per_host * (1 if config.is_set("per_host") else _SHARED)
        self._is_rewriting = bool(config.mirrors)
        self._lent: dict[int, object] = {}
        self._service = FetchService(
            destination,
            transports or transports_of(config),
            credentials=self._credentials,
            target_policy=target_policy,
            user_agent=USER_AGENT,
            timeouts=Timeouts(config.connect_timeout, config.stall_timeout),
            policy=RetryPolicy(attempts=config.attempts),
            workers=config.workers,
            per_host=config.per_host,
            rewrite=lambda url: rewrite(url, config.mirrors),
        )

    def submit(
        self,
        misses: Sequence[tuple[Sequence[str], str | None, URLEntry | None]],
        *,
        credential: Credential | None,
        headers: Mapping[str, str] | None,
    ) -> list[FetchRequest]:
        """Start fetching; the requests' results are paths.

        Args:
            misses: For each, the URL and its mirrors; `algorithm:hex` or None; what is here already
                and only has to be asked about, or None.
            credential: For each (first) URL's host, instead of the chain's.
            headers: Further request headers, for the (first) URL's host.

        Raises:
            TypeError: that is no credential.
        """
        if not isinstance(credential, Credential | None):
            kind = type(credential).__name__
            raise TypeError(
                f"a Basic, Bearer or Header of credentials.model is wanted, not a {kind}"
            )
        if all(known is None for _, _, known in misses):
            wanted = [(urls, checksum) for urls, checksum, _ in misses]
            return self._service.submit_many(
                wanted, headers=headers, credential=credential, convert=as_path
            )
        return [
            self._service.submit(
                urls,
                checksum,
                headers=headers,
                credential=credential,
                revalidate=_validator(known),
                convert=as_path,
            )
            for urls, checksum, known in misses
        ]

    def lend(self, url: str, helpers: int) -> Loan | None:
        """Share the connections to a URL's host with up to so many helpers, until it is given back.

        None where that leaves none for them, they are shared already, or helpers would have to know a
        secret.
        """
        target = parse(url)
        origin = target.origin
        helpers = min(helpers, self._shared_connections - 1)
        if not helpers or self._is_rewriting or not self._is_public(target):
            return None
        mine = object()
        # By process: a forked child has lent nothing. One step, and so without a lock.
        if self._lent.setdefault(os.getpid(), mine) is not mine:
            return None
        share = self._shared_connections // (helpers + 1)
        self._service.limit(origin, share)
        return Loan(helpers, share, site(target.url), partial(self._take_back, origin))

    def _take_back(self, origin: Origin) -> None:
        self._service.limit(origin, None)
        self._lent.pop(os.getpid(), None)

    def _is_public(self, target: Target) -> bool:
        """Whether nothing secret goes along: none is known for the host, as far as can be told."""
        if target.scheme not in DEFAULT_PORTS:
            return True  # as in `stager.asking`
        try:
            return self._credentials(target.host, target.port) is None
        except FscacheError:
            return False  # whoever asks for a file is told

    def land(self) -> None:
        """Take nothing more, and return when what is under way has ended."""
        self._service.close()

    def close(self) -> None:
        """Stop; partial files stay."""
        self._service.close(cancel=True)


def fetcher_for(home: str) -> Callable[[Root, URLIndex, Config], Fetcher]:
    """Return what makes the fetcher of a helper, to which a `Loan` was made.

    It has no credentials, and so is not to be sent to where there may be one: it would be given a
    page to log in for the file.
    """

    def stay(url: str) -> None:
        if not url.startswith(home):
            raise TargetRefusedError(redact(url), "not for a helper")

    return partial(Fetcher, credentials=lambda *_: None, target_policy=stay)


def transports_of(config: Config, check_address: Callable[[str], None] | None = None) -> Transports:
    """Return the stager's transports with the certificates and proxies that the settings name.

    Whoever checks addresses cannot see what a proxy connects to: then only a proxy counts that
    config.toml names, and not one that happens to be in the environment.

    Args:
        config: The settings.
        check_address: See `default_transports`.
    """
    said = config if check_address is None else config.told()
    http, https = said.http_proxy, said.https_proxy
    proxies = Proxies(http=http, https=https, bypassed=said.no_proxy) if http or https else None
    return default_transports(check_address=check_address, ca_file=config.ca_file, proxy=proxies)


def _users_chain(config: Config) -> Callable[[str, int | None], Credential | None]:
    return default_chain(
        explicit=None,
        directory=config.credentials_directory,
        keyring=config.keyring_hosts,
        netrc=config.netrc,
        now=time.monotonic,
        report=lambda error: warn("%s", error),
    ).find


def _validator(known: URLEntry | None) -> Validator | None:
    return None if known is None else Validator(known.etag, known.last_modified, known.size)


def rewrite(url: str, rules: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Return what to try for a URL: the replacements of the first rule whose prefix fits. Pure."""
    for prefix, targets in rules:
        if url.startswith(prefix):
            return [target + url[len(prefix) :] for target in targets]
    return [url]


def settled(url: str, outcome: Path | Exception) -> FetchRequest:
    """Return a request that has already ended: with a path, or with an error."""
    request = FetchRequest((url,), None, Meter(time.monotonic), leave=lambda _: None)
    if isinstance(outcome, Exception):
        request.set_exception(outcome)
    else:
        request.set_result(outcome)
    return request
