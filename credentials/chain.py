"""The places that keep credentials, asked in a fixed order: explicit, systemd, keyring, netrc.

What a place that cannot answer means:

- A *file* at fault (readable by others, does not parse) is an error for the caller: going on
  without it would end in a 401 that hides the cause, and one edit puts it right.
- A *keyring* that is not there, locked, broken or silent is passed over and left out for
  `lifetime`: what netrc answers, and public data, must not depend on a desktop's prompt. It is
  reported, once, when no place after it had an answer either.

An answer, "none" included, is kept per host and port for `lifetime`, so that 5,000 files of one
host cost one look-up, and a changed token is seen by a daemon without a restart. A place is asked
only for a host that is about to be contacted, and only when those before it had no answer; so a
cache hit reads no file.
"""

from __future__ import annotations

from threading import Lock

from credentials import hosts
from credentials.errors import CredentialError, CredentialFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from credentials.model import Credential, CredentialSource

LIFETIME = 300.0
"""Seconds an answer is kept."""


class Explicit:
    """Credentials that the program itself has given, by `host` or `host:port`."""

    def __init__(self, credentials: Mapping[str, Credential]) -> None:
        """Take the credentials; raises ValueError for a key that is no host."""
        self._credentials = {
            hosts.keys(*hosts.parse(name))[0]: found for name, found in credentials.items()
        }

    def find(self, host: str, port: int | None = None) -> Credential | None:
        """Return the credential for `host:port`, or for `host`."""
        for key in hosts.keys(host, port):
            if key in self._credentials:
                return self._credentials[key]
        return None


class CredentialChain:
    """Asks `sources` in their order; for use by many threads."""

    def __init__(
        self,
        sources: Iterable[CredentialSource],
        *,
        now: Callable[[], float],
        report: Callable[[CredentialError], None],
        lifetime: float = LIFETIME,
    ) -> None:
        """Take the places and the clock.

        Args:
            sources: The places, the strongest first.
            now: A clock in seconds that only runs forward.
            report: Told once of each place that is left out, if those after it had no answer.
            lifetime: Seconds that an answer is kept, or a place left out.
        """
        self._sources = tuple(sources)
        self._now = now
        self._report = report
        self._lifetime = lifetime
        self._kept: dict[str, tuple[float, Credential | None]] = {}
        self._left_out: dict[int, float] = {}
        self._reported: set[int] = set()
        self._lock = Lock()

    def find(self, host: str, port: int | None = None) -> Credential | None:
        """Return the credential for a request to `host` and `port`, None where there is none.

        Args:
            host: The host of the URL that is about to be asked for.
            port: The port in that URL; None where it has none.

        Raises:
            CredentialFileError: a file that keeps credentials is at fault.
        """
        key = hosts.keys(host, port)[0]
        # One lock around the look-up: threads that start together on one host would each ask the
        # keyring, and it is the same keyring for another host.
        with self._lock:
            now = self._now()
            kept = self._kept.get(key)
            if kept and now < kept[0]:
                return kept[1]
            found = self._ask(host, port, now)
            self._kept = {k: v for k, v in self._kept.items() if now < v[0]}
            self._kept[key] = (now + self._lifetime, found)
            return found

    def _ask(self, host: str, port: int | None, now: float) -> Credential | None:
        failures: dict[int, CredentialError] = {}
        for index, source in enumerate(self._sources):
            if now < self._left_out.get(index, now):
                continue
            try:
                found = source.find(host, port)
            except CredentialFileError:
                raise
            except CredentialError as exc:
                self._left_out[index] = now + self._lifetime
                failures[index] = exc
                continue
            if found is not None:
                return found
        for index, failure in failures.items():
            if index not in self._reported:
                self._reported.add(index)
                self._report(failure)
        return None


def default_chain(
    *,
    explicit: Mapping[str, Credential] | None,
    directory: str | None,
    keyring: str | None,
    netrc: str | None,
    now: Callable[[], float],
    report: Callable[[CredentialError], None],
) -> CredentialChain:
    """Return the chain over the usual places, in the usual order.

    Args:
        explicit: Credentials by `host` or `host:port`.
        directory: Where token files lie (`$CREDENTIALS_DIRECTORY`).
        keyring: Directory that tells which hosts the user's keyring has a credential for.
        netrc: Path of the netrc file.
        now: A clock in seconds that only runs forward.
        report: Told once of each place that is left out, if those after it had no answer.
    """
    sources: list[CredentialSource] = []
    if explicit:
        sources.append(Explicit(explicit))
    if directory:
        from credentials.systemd import SystemdCredentials

        sources.append(SystemdCredentials(directory))
    if keyring:
        from credentials.keyring_store import KeyringStore

        sources.append(KeyringStore(keyring))
    if netrc:
        from credentials.netrc import NetrcFile

        sources.append(NetrcFile(netrc))
    return CredentialChain(sources, now=now, report=report)
