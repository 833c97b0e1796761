"""Credentials in the user's keyring: the only importer of `keyring`.

Promises: a host that nobody has logged in to costs one `stat` and no import; the keyring's errors
come out as ours; a keyring that does not answer in time is given up for the life of this object, so
a job on a node without a screen cannot hang on a prompt that nobody sees.

Which hosts have a credential is told by empty files, one for each, in a directory that is passed in.
Keyrings cannot list what they hold, so a list is needed anyway. It could be kept in the keyring
itself, but asking `keyring` whether it has anything costs 200 ms on Linux, twice the import of
requests (it loads all its backends, and the one for macOS searches for a library with ldconfig and
gcc), and may put up a prompt, for public data too.

Why a thread with a deadline: `keyring` has no timeout of its own, a locked Secret Service waits for
ever for its prompt, and so does a D-Bus socket with a dead daemon behind it. Rejected: guessing
from `DISPLAY` (set by X forwarding too), naming the bad backends (the list never ends), and a
subprocess (slower still, and blind to a keyring that the program has set). The price is one parked
daemon thread.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TypeVar

from credentials import hosts, text
from credentials.errors import CredentialError, NoKeyringError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyring.backend import KeyringBackend

    from credentials.model import Credential

T = TypeVar("T")

SERVICE = "fscache"
PATIENCE = 10.0
"""Seconds: enough to unlock a keyring on a desktop, little beside a job's waiting time."""

_INSTEAD = (
    "install a keyring backend (on a desktop: gnome-keyring or KWallet; anywhere: keyrings.alt, "
    "which keeps a file), or put the credential into ~/.netrc (mode 0600) or into a token file "
    "fscache-<host> in the directory $CREDENTIALS_DIRECTORY"
)


class KeyringStore:
    """The credentials that `fscache auth login` has put into the user's keyring."""

    def __init__(self, known: str, *, patience: float | None = PATIENCE) -> None:
        """Choose how long to wait.

        Args:
            known: The directory that tells which hosts the keyring has a credential for.
            patience: The longest wait for one answer, in seconds; None waits for ever, in the
                calling thread, for commands whose user is there to answer a prompt.
        """
        self._known = known
        self._patience = patience
        self._silent = False

    def find(self, host: str, port: int | None = None) -> Credential | None:
        """Return what is stored for `host:port`, or for `host`.

        Raises:
            NoKeyringError: there is no keyring backend.
            CredentialError: the keyring is locked, broken, or did not answer in time.
        """
        names = [key for key in hosts.keys(host, port) if os.path.isfile(self._file(key))]
        return self._within(host, lambda: _find(host, names)) if names else None

    def store(self, host: str, port: int | None, credential: Credential) -> None:
        """Keep `credential` for `host` (and `port`), in place of what was there.

        Raises:
            NoKeyringError: there is no keyring backend, or one that keeps nothing.
            CredentialError: as for `find`.
        """
        name = hosts.keys(host, port)[0]
        self._within(host, lambda: _store(host, name, credential))
        try:
            os.makedirs(self._known, mode=0o700, exist_ok=True)
            os.close(os.open(self._file(name), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as exc:
            raise CredentialError(host, f"{self._file(name)}: {exc.strerror}") from exc

    def delete(self, host: str, port: int | None = None) -> bool:
        """Forget what is kept for exactly this `host` (and `port`); False when there was nothing.

        Raises:
            NoKeyringError: there is no keyring backend.
            CredentialError: as for `find`.
        """
        name = hosts.keys(host, port)[0]
        deleted = self._within(host, lambda: _delete(host, name))
        with suppress(FileNotFoundError):
            os.unlink(self._file(name))
        return deleted

    def hosts(self) -> list[str]:
        """Return the names (`host` or `host:port`) for which something was stored, sorted."""
        try:
            names = os.listdir(self._known)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if _is_name(name))

    def _file(self, name: str) -> str:
        return os.path.join(self._known, name)

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


def _is_name(name: str) -> bool:
    """Tell a host's name from what an editor or a file manager may have left."""
    try:
        return hosts.keys(*hosts.parse(name))[0] == name
    except ValueError:
        return False


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


def _read(backend: KeyringBackend, host: str, name: str) -> str | None:
    return _call(host, lambda: backend.get_password(SERVICE, name))


def _find(host: str, names: Sequence[str]) -> Credential | None:
    backend = _backend(host)
    for name in names:
        if line := _read(backend, host, name):
            try:
                return text.parse(line, "the keyring")
            except ValueError as exc:
                raise CredentialError(host, f"what the keyring holds is {exc}") from None
    return None


def _store(host: str, name: str, credential: Credential) -> None:
    backend = _backend(host)
    line = text.render(credential)
    _call(host, lambda: backend.set_password(SERVICE, name, line))
    # The null backend, and a chain of backends that cannot write, take everything without a word.
    if _read(backend, host, name) != line:
        raise NoKeyringError(
            host, f"this machine's keyring ({backend.name}) keeps nothing; {_INSTEAD}"
        )


def _delete(host: str, name: str) -> bool:
    backend = _backend(host)
    if _read(backend, host, name) is None:
        return False
    _call(host, lambda: backend.delete_password(SERVICE, name))
    return True
