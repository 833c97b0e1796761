"""Credentials in the user's keyring: the only importer of `keyring`.

Promises: `keyring` (66 ms) is imported when a host is asked for and no earlier; its errors come
out as ours; a keyring that does not answer in time is given up for the life of this object, so a
job on a node without a screen cannot hang on a prompt that nobody sees.

Why a thread with a deadline: `keyring` has no timeout of its own, a locked Secret Service waits for
ever for its prompt, and so does a D-Bus socket with a dead daemon behind it. Rejected: guessing
from `DISPLAY` (set by X forwarding too), naming the bad backends (the list never ends), and a
subprocess (its own 80 ms at each start, and blind to a keyring that the program has set). The price
is one parked daemon thread.

Keyrings cannot list what they hold, so the hosts (no secrets) are kept in the keyring too, under a
reserved user name. Two logins at the very same moment can lose a name from that list; the
credentials themselves are still found.
"""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from credentials import hosts, text
from credentials.errors import CredentialError, NoKeyringError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

    from credentials.model import Credential

T = TypeVar("T")

SERVICE = "fscache"
PATIENCE = 10.0
"""Seconds: enough to unlock a keyring on a desktop, little beside a job's waiting time."""

_HOSTS = "#hosts"
"""User name of the list of hosts; no host name has a `#`."""
_INSTEAD = (
    "install a keyring backend (on a desktop: gnome-keyring or KWallet; anywhere: keyrings.alt, "
    "which keeps a file), or put the credential into ~/.netrc (mode 0600) or into a token file "
    "fscache-<host> in the directory $CREDENTIALS_DIRECTORY"
)


class KeyringStore:
    """The credentials that `fscache auth login` has put into the user's keyring."""

    def __init__(self, *, patience: float | None = PATIENCE) -> None:
        """Choose how long to wait.

        Args:
            patience: The longest wait for one answer, in seconds; None waits for ever, in the
                calling thread, for commands whose user is there to answer a prompt.
        """
        self._patience = patience
        self._silent = False

    def find(self, host: str, port: int | None = None) -> Credential | None:
        """Return what is stored for `host:port`, or for `host`.

        Raises:
            NoKeyringError: there is no keyring backend.
            CredentialError: the keyring is locked, broken, or did not answer in time.
        """
        return self._within(host, lambda: _find(host, port))

    def store(self, host: str, port: int | None, credential: Credential) -> None:
        """Keep `credential` for `host` (and `port`), in place of what was there.

        Raises:
            NoKeyringError: there is no keyring backend, or one that keeps nothing.
            CredentialError: as for `find`.
        """
        self._within(host, lambda: _store(host, port, credential))

    def delete(self, host: str, port: int | None = None) -> bool:
        """Forget what is kept for exactly this `host` (and `port`); False when there was nothing.

        Raises:
            NoKeyringError: there is no keyring backend.
            CredentialError: as for `find`.
        """
        return self._within(host, lambda: _delete(host, port))

    def hosts(self) -> list[str]:
        """Return the names (`host` or `host:port`) for which something was stored, sorted.

        Raises:
            NoKeyringError: there is no keyring backend.
            CredentialError: as for `find`.
        """
        return self._within("all hosts", lambda: _hosts(_backend("all hosts")))

    def _within(self, host: str, operation: Callable[[], T]) -> T:
        if self._patience is None:
            return operation()
        if self._silent:
            raise CredentialError(host, "the keyring did not answer before, so it was not asked")
        answer: Future[T] = Future()

        def ask() -> None:
            try:
                answer.set_result(operation())
            except BaseException as exc:  # noqa: BLE001 - raised in the thread that waits
                answer.set_exception(exc)

        # not an executor's thread: those are joined at exit, and would hang there instead
        Thread(target=ask, name="fscache-keyring", daemon=True).start()
        try:
            return answer.result(self._patience)
        except TimeoutError:
            self._silent = True
            why = (
                f"the keyring did not answer within {self._patience:g} s; unlock it, or set "
                "PYTHON_KEYRING_BACKEND=keyring.backends.fail.Keyring to do without it"
            )
            raise CredentialError(host, why) from None


def _backend(host: str) -> KeyringBackend:
    import keyring

    try:
        return keyring.get_keyring()
    except Exception as exc:
        # plug-ins and the user's keyringrc.cfg may raise anything; no secret is known yet
        why = f"the keyring backend cannot be loaded: {type(exc).__name__}: {exc}"
        raise CredentialError(host, why) from exc


def _call(host: str, operation: Callable[[], T]) -> T:
    """Run one operation on a backend and translate what it raises."""
    from keyring import errors

    try:
        return operation()
    except errors.NoKeyringError as exc:
        raise NoKeyringError(host, f"this machine has no keyring; {_INSTEAD}") from exc
    except errors.KeyringLocked as exc:
        raise CredentialError(host, f"the keyring is locked: {exc}") from exc
    except errors.KeyringError as exc:
        raise CredentialError(host, f"the keyring failed: {type(exc).__name__}: {exc}") from exc
    except Exception as exc:  # noqa: BLE001 - a backend may raise what its library raises
        # neither shown nor chained: what a library says of a value may quote it
        raise CredentialError(host, f"the keyring failed: {type(exc).__name__}") from None


def _read(backend: KeyringBackend, host: str, key: str) -> str | None:
    return _call(host, lambda: backend.get_password(SERVICE, key))


def _find(host: str, port: int | None) -> Credential | None:
    backend = _backend(host)
    for key in hosts.keys(host, port):
        if line := _read(backend, host, key):
            try:
                return text.parse(line)
            except ValueError as exc:
                raise CredentialError(host, f"what the keyring holds is {exc}") from None
    return None


def _store(host: str, port: int | None, credential: Credential) -> None:
    backend = _backend(host)
    key, line = hosts.keys(host, port)[0], text.render(credential)
    _call(host, lambda: backend.set_password(SERVICE, key, line))
    # The null backend, and a chain of backends that cannot write, take everything without a word.
    if _read(backend, host, key) != line:
        raise NoKeyringError(
            host, f"this machine's keyring ({backend.name}) keeps nothing; {_INSTEAD}"
        )
    _write_hosts(backend, {*_hosts(backend), key})


def _delete(host: str, port: int | None) -> bool:
    backend = _backend(host)
    key = hosts.keys(host, port)[0]
    known = _hosts(backend)
    if key in known:
        _write_hosts(backend, {*known} - {key})
    if _read(backend, host, key) is None:
        return False
    _call(host, lambda: backend.delete_password(SERVICE, key))
    return True


def _hosts(backend: KeyringBackend) -> list[str]:
    return (_read(backend, "all hosts", _HOSTS) or "").split()


def _write_hosts(backend: KeyringBackend, names: set[str]) -> None:
    listed = " ".join(sorted(names))
    _call("all hosts", lambda: backend.set_password(SERVICE, _HOSTS, listed))
