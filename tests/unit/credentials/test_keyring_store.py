"""Promises of credentials.keyring_store, with real keyring backends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked
from keyrings.alt.file import PlaintextKeyring

from credentials.errors import CredentialError, NoKeyringError
from credentials.keyring_store import KeyringStore
from credentials.model import Basic, Bearer, Header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "s3cr3t-h1dd3n"


@pytest.fixture
def known(tmp_path: Path) -> str:
    """A directory that names the hosts that somebody has logged in to."""
    (tmp_path / "known").mkdir()
    for host in ("example.org", "other.org"):
        (tmp_path / "known" / host).touch()
    return str(tmp_path / "known")


@pytest.fixture
def fresh(tmp_path: Path) -> str:
    """The same before the first login."""
    return str(tmp_path / "config" / "fresh")


@pytest.fixture
def use() -> Iterator[Callable[[KeyringBackend], None]]:
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture
def file_keyring(use: Callable[[KeyringBackend], None], tmp_path: Path) -> PlaintextKeyring:
    backend = PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring")
    use(backend)
    return backend


class Odd(KeyringBackend):
    """A backend that does what a broken one does."""

    viable = False  # never chosen by keyring itself

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        self.act()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.act()
        raise ValueError(f"cannot encode {password}")


@pytest.mark.parametrize("patience", [None, 30.0])
@pytest.mark.parametrize(
    "credential", [Basic("ann", SECRET), Bearer(SECRET), Header("X-Api-Key", SECRET)]
)
@pytest.mark.usefixtures("file_keyring")
def test_what_is_stored_is_found_until_it_is_deleted(
    credential: Basic | Bearer | Header, patience: float | None, fresh: str
) -> None:
    store = KeyringStore(fresh, patience=patience)
    assert store.hosts() == []
    assert store.find("example.org") is None
    assert not store.delete("example.org")
    store.store("Example.org", None, credential)
    store.store("Example.org", None, credential)
    assert KeyringStore(fresh).find("example.org") == credential
    assert KeyringStore(fresh).find("example.org", 8080) == credential
    assert store.hosts() == ["example.org"]
    assert store.delete("example.org")
    assert store.find("example.org") is None
    assert store.hosts() == []


@pytest.mark.usefixtures("file_keyring")
def test_ports_are_told_apart(fresh: str) -> None:
    store = KeyringStore(fresh)
    store.store("example.org", None, Bearer("one"))
    store.store("example.org", 8080, Bearer("two"))
    store.store("::1", 8080, Bearer("three"))
    assert store.find("example.org", 8080) == Bearer("two")
    assert store.find("example.org", 8081) == Bearer("one")
    assert store.find("::1") is None
    assert store.find("::1", 8080) == Bearer("three")
    with open(os.path.join(fresh, "a file~ of somebody else"), "wb"):
        pass
    assert store.hosts() == ["[::1]:8080", "example.org", "example.org:8080"]
    assert not store.delete("example.org", 8081)
    assert store.delete("example.org", 8080)
    assert store.find("example.org", 8080) == Bearer("one")


def test_the_names_of_hosts_are_the_users_alone_and_hold_no_secret(
    file_keyring: PlaintextKeyring, fresh: str
) -> None:
    KeyringStore(fresh).store("example.org", None, Basic("ann", SECRET))
    assert os.stat(fresh).st_mode & 0o777 == 0o700
    assert os.path.getsize(os.path.join(fresh, "example.org")) == 0
    assert os.path.exists(file_keyring.file_path)


@pytest.mark.usefixtures("file_keyring")
def test_a_host_whose_item_another_tool_has_deleted_has_no_credential(known: str) -> None:
    assert KeyringStore(known).find("example.org") is None


def test_foreign_text_in_the_keyring_is_an_error_that_does_not_show_it(
    file_keyring: PlaintextKeyring, known: str
) -> None:
    file_keyring.set_password("fscache", "example.org", SECRET)
    with pytest.raises(CredentialError) as caught:
        KeyringStore(known).find("example.org")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.usefixtures("file_keyring")
def test_where_hosts_cannot_be_noted_login_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CredentialError, match=r"file/known.*: Not a directory"):
        KeyringStore(str(tmp_path / "file" / "known")).store("h", None, Bearer(SECRET))


def test_without_a_backend_the_error_says_what_to_do(
    use: Callable[[KeyringBackend], None], known: str
) -> None:
    use(fail.Keyring())
    store = KeyringStore(known, patience=None)
    for call in (
        lambda: store.find("example.org"),
        lambda: store.store("example.org", None, Bearer(SECRET)),
        lambda: store.delete("example.org"),
    ):
        with pytest.raises(NoKeyringError) as caught:
            call()
        for way in ("keyrings.alt", "netrc", "fscache-<host>"):
            assert way in caught.value.why
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_backend_that_keeps_nothing_does_not_pass_for_success(
    use: Callable[[KeyringBackend], None], fresh: str
) -> None:
    use(null.Keyring())
    with pytest.raises(NoKeyringError, match="keeps nothing"):
        KeyringStore(fresh).store("example.org", None, Bearer(SECRET))
    assert KeyringStore(fresh).hosts() == []


def test_a_keyring_that_does_not_answer_is_waited_for_once_and_then_left_alone(
    use: Callable[[KeyringBackend], None], known: str
) -> None:
    answer = threading.Event()
    backend = Odd(answer.wait)
    use(backend)
    try:
        store = KeyringStore(known, patience=0.05)
        with pytest.raises(CredentialError, match="did not answer within"):
            store.find("example.org")
        with pytest.raises(CredentialError, match="was not asked"):
            store.find("other.org")
        assert store.find("public.org") is None
        assert backend.asked == 1
    finally:
        answer.set()
        for thread in threading.enumerate():
            if thread.name == "fscache-keyring":
                thread.join(10)


def raising(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_a_locked_keyring_says_so(use: Callable[[KeyringBackend], None], known: str) -> None:
    use(Odd(raising(KeyringLocked("prompt dismissed"))))
    with pytest.raises(CredentialError, match="locked: prompt dismissed"):
        KeyringStore(known).find("example.org")


def test_what_a_backend_raises_comes_out_as_ours_without_its_text(
    use: Callable[[KeyringBackend], None], known: str
) -> None:
    use(Odd(lambda: None))
    with pytest.raises(CredentialError, match="ValueError") as caught:
        KeyringStore(known).store("example.org", None, Bearer(SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def run(code: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr


def test_a_backend_that_cannot_be_loaded_is_named(tmp_path: Path, known: str) -> None:
    shown = run(
        "from credentials.keyring_store import KeyringStore\n"
        "from credentials.errors import CredentialError\n"
        f"try: KeyringStore({known!r}).find('example.org')\n"
        "except CredentialError as exc: print(exc)",
        PYTHON_KEYRING_BACKEND="no_such_module.Keyring",
        XDG_CONFIG_HOME=str(tmp_path),
    )
    assert "cannot be loaded" in shown
    assert "no_such_module" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="the Secret Service is Linux's keyring")
def test_a_dead_secret_service_hangs_neither_the_look_up_nor_the_exit(
    tmp_path: Path, known: str
) -> None:
    # A D-Bus socket that accepts connections and never says a word: as a hung daemon leaves it.
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        bus.listen(8)
        shown = run(
            "from credentials.keyring_store import KeyringStore\n"
            "from credentials.errors import CredentialError\n"
            f"try: KeyringStore({known!r}, patience=0.2).find('example.org')\n"
            "except CredentialError as exc: print(exc)",
            DBUS_SESSION_BUS_ADDRESS=f"unix:path={tmp_path / 'bus'}",
            PYTHON_KEYRING_BACKEND="keyring.backends.SecretService.Keyring",
            XDG_CONFIG_HOME=str(tmp_path),
        )
    assert "did not answer within 0.2 s" in shown
