"""Promises of credentials.systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from credentials.errors import CredentialFileError
from credentials.model import Basic, Bearer, Header
from credentials.systemd import SystemdCredentials, file_names

if TYPE_CHECKING:
    from pathlib import Path

    from credentials.model import Credential

SECRET = "s3cr3t-h1dd3n"


def put(directory: Path, name: str, content: str | bytes, mode: int = 0o400) -> None:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Bearer abc\n", Bearer("abc")),
        ("Basic ann:one", Basic("ann", "one")),
        ("X-Api-Key: abc\n", Header("X-Api-Key", "abc")),
    ],
)
def test_file_of_the_host_holds_its_credential(
    directory: Path, content: str, expected: Credential
) -> None:
    put(directory, "fscache-example.org", content)
    source = SystemdCredentials(str(directory))
    assert source.find("Example.org") == expected
    assert source.find("example.org", 8080) == expected
    assert source.find("other.org") is None


def test_file_with_a_port_wins_for_that_port(directory: Path) -> None:
    put(directory, "fscache-example.org", "Bearer one")
    put(directory, "fscache-example.org_8080", "Bearer two")
    source = SystemdCredentials(str(directory))
    assert source.find("example.org", 8080) == Bearer("two")
    assert source.find("example.org", 443) == Bearer("one")


def test_names_of_files_hold_nothing_that_systemd_refuses() -> None:
    assert file_names("::1", 80) == ("fscache-__1_80", "fscache-__1")
    assert file_names("../../etc/passwd", None) == ()


def test_group_bits_are_those_of_an_acl_and_allowed(directory: Path) -> None:
    put(directory, "fscache-example.org", "Bearer one", 0o440)
    assert SystemdCredentials(str(directory)).find("example.org") == Bearer("one")


def test_file_that_everybody_may_read_is_refused(directory: Path) -> None:
    put(directory, "fscache-example.org", f"Bearer {SECRET}", 0o444)
    source = SystemdCredentials(str(directory))
    assert source.find("example.org") == Bearer(SECRET)  # nobody gets through the directory
    directory.chmod(0o755)
    with pytest.raises(CredentialFileError, match="read by others"):
        source.find("example.org")


@pytest.mark.parametrize(
    "content",
    [
        SECRET,
        "",
        f"Bearer {SECRET}\nBearer x",
        f"Bearer {SECRET}\xff".encode("latin-1"),
        b"x" * 70_000,
    ],
)
def test_file_without_a_credential_is_an_error_that_shows_nothing_of_it(
    directory: Path, content: str | bytes
) -> None:
    put(directory, "fscache-example.org", content)
    with pytest.raises(CredentialFileError) as caught:
        SystemdCredentials(str(directory)).find("example.org")
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("where", ["none", "file"])
def test_missing_directory_has_no_answer(directory: Path, where: str) -> None:
    (directory / "file").touch()
    assert SystemdCredentials(str(directory / where)).find("example.org") is None
