"""Promises of credentials.chain."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backends import fail

from credentials.chain import CredentialChain, Explicit, default_chain
from credentials.errors import CredentialError, CredentialFileError, NoKeyringError
from credentials.model import Basic, Bearer, Credential

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "s3cr3t-h1dd3n"


@dataclass
class Place:
    """A place with fixed answers, that notes what it is asked."""

    answers: dict[str, Credential] = field(default_factory=dict)
    fails: Exception | None = None
    asked: list[tuple[str, int | None]] = field(default_factory=list)

    def find(self, host: str, port: int | None = None) -> Credential | None:
        self.asked.append((host, port))
        if self.fails is not None:
            raise self.fails
        return self.answers.get(host)


@dataclass
class Setting:
    """A chain with its clock and its reports."""

    places: list[Place]
    time: float = 1000.0
    reports: list[CredentialError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chain = CredentialChain(
            self.places, now=lambda: self.time, report=self.reports.append, lifetime=300
        )


def test_first_place_with_an_answer_wins_and_the_rest_is_not_asked() -> None:
    first, second, third = Place(), Place({"a": Bearer("2")}), Place({"a": Bearer("3")})
    setting = Setting([first, second, third])
    assert setting.chain.find("a") == Bearer("2")
    assert first.asked == [("a", None)]
    assert third.asked == []
    assert setting.chain.find("b") is None
    assert third.asked == [("b", None)]


def test_answers_and_their_absence_are_kept_per_host_and_port_for_the_lifetime() -> None:
    place = Place({"a": Bearer("1")})
    setting = Setting([place])
    for _ in range(3):
        assert setting.chain.find("a") == Bearer("1")
        assert setting.chain.find("A") == Bearer("1")
        assert setting.chain.find("a", 80) == Bearer("1")
        assert setting.chain.find("b") is None
    assert place.asked == [("a", None), ("a", 80), ("b", None)]
    place.answers = {"a": Bearer("2")}
    setting.time += 299
    assert setting.chain.find("a") == Bearer("1")
    setting.time += 1
    assert setting.chain.find("a") == Bearer("2")


def test_a_file_at_fault_is_an_error_each_time() -> None:
    later = Place({"a": Bearer("1")})
    setting = Setting([Place(fails=CredentialFileError("a", "x", "/netrc")), later])
    for _ in range(2):
        with pytest.raises(CredentialFileError):
            setting.chain.find("a")
    assert later.asked == []


@pytest.mark.parametrize("failure", [NoKeyringError("b", "none"), CredentialError("b", "locked")])
def test_a_broken_place_is_passed_over_and_reported_once_where_it_matters(
    failure: CredentialError,
) -> None:
    broken = Place({"c": Bearer("0")}, fails=failure)
    setting = Setting([broken, Place({"a": Bearer("1")})])
    assert setting.chain.find("a") == Bearer("1")
    assert setting.reports == []
    assert setting.chain.find("b") is None
    assert broken.asked == [("a", None)]  # left out since
    setting.time += 300
    assert setting.chain.find("b") is None
    assert setting.reports == [failure]
    assert broken.asked == [("a", None), ("b", None)]
    setting.time += 300
    assert setting.chain.find("d") is None
    assert len(setting.reports) == 1
    broken.fails = None
    setting.time += 300
    assert setting.chain.find("c") == Bearer("0")


def test_threads_that_start_together_cost_one_look_up() -> None:
    place = Place({"a": Bearer("1")})
    setting = Setting([place])
    start = threading.Barrier(16)
    found = []

    def ask() -> None:
        start.wait(10)
        found.append(setting.chain.find("a"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [Bearer("1")] * 16
    assert len(place.asked) == 1


def test_explicit_credentials_belong_to_their_host_and_port_alone() -> None:
    explicit = Explicit({"A.org": Bearer("1"), "a.org:8080": Bearer("2"), "[::1]:80": Bearer("3")})
    assert explicit.find("a.org") == Bearer("1")
    assert explicit.find("a.org", 8080) == Bearer("2")
    assert explicit.find("a.org", 81) == Bearer("1")
    assert explicit.find("::1", 80) == Bearer("3")
    assert explicit.find("::1") is None
    assert explicit.find("b.a.org") is None
    assert explicit.find("org") is None


def test_explicit_credentials_for_no_host_are_refused() -> None:
    with pytest.raises(ValueError, match="host alone"):
        Explicit({"https://a.org/": Bearer(SECRET)})


@pytest.fixture
def no_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("no_keyring")
def test_usual_places_come_in_the_usual_order(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "fscache-b.org").write_text("Bearer directory")
    netrc = tmp_path / "netrc"
    netrc.write_text("".join(f"machine {host}.org login ann password netrc\n" for host in "abc"))
    netrc.chmod(0o600)
    reports: list[CredentialError] = []
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "c.org").touch()
    chain = default_chain(
        explicit={"a.org": Bearer("explicit")},
        directory=str(tmp_path),
        keyring=str(tmp_path / "known"),
        netrc=str(netrc),
        now=lambda: 0.0,
        report=reports.append,
    )
    assert chain.find("a.org") == Bearer("explicit")
    assert chain.find("b.org") == Bearer("directory")
    assert chain.find("c.org") == Basic("ann", "netrc")
    assert chain.find("d.org") is None
    assert reports == []


def test_no_keyring_is_imported_for_hosts_that_nobody_logged_in_to(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    code = (
        "import sys\n"
        "from credentials.chain import default_chain\n"
        "from credentials.model import Bearer\n"
        "chain = default_chain(explicit={'b': Bearer('x')}, directory=sys.argv[1],\n"
        "    keyring=sys.argv[1], netrc=sys.argv[1] + '/netrc', now=lambda: 0.0, report=print)\n"
        "assert chain.find('b') and not chain.find('a') and not chain.find('a', 80)\n"
        "assert 'keyring' not in sys.modules\n"
        "(tmp := open(sys.argv[1] + '/a', 'w')).close()\n"
        "chain.find('a', 81)\n"
        "assert 'keyring' in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environ = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "HOME": str(tmp_path)}
    subprocess.run(command, env=environ, check=True, timeout=60)
