"""Promises of credentials.netrc."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

import pytest

from credentials.errors import CredentialFileError
from credentials.model import Basic
from credentials.netrc import NetrcFile

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-h1dd3n"


def written(tmp_path: Path, content: str | bytes, mode: int = 0o600) -> NetrcFile:
    path = tmp_path / "netrc"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return NetrcFile(str(path))


def test_entry_of_the_host_is_found_whatever_its_case(tmp_path: Path) -> None:
    file = written(tmp_path, "machine example.org login ann password one\n")
    assert file.find("EXAMPLE.org") == Basic("ann", "one")
    assert file.find("example.org", 8080) == Basic("ann", "one")
    assert file.find("other.org") is None


def test_entry_with_a_port_wins_for_that_port(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "machine example.org login ann password one\n"
        "machine example.org:8080 login bob password two\n",
    )
    assert file.find("example.org", 8080) == Basic("bob", "two")
    assert file.find("example.org", 8081) == Basic("ann", "one")
    assert file.find("example.org") == Basic("ann", "one")


def test_default_entry_answers_for_every_other_host(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "machine example.org login ann password one\ndefault login anonymous password me\n",
    )
    assert file.find("example.org") == Basic("ann", "one")
    assert file.find("other.org", 80) == Basic("anonymous", "me")


@pytest.mark.parametrize("where", ["none", "none/none", "file/none"])
def test_missing_file_has_no_answer(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    assert NetrcFile(str(tmp_path / where)).find("example.org") is None


def test_file_is_read_anew_at_each_look_up(tmp_path: Path) -> None:
    file = written(tmp_path, "machine a.org login ann password one\n")
    assert file.find("a.org") == Basic("ann", "one")
    written(tmp_path, "machine a.org login ann password two\n")
    assert file.find("a.org") == Basic("ann", "two")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_file_open_to_others_is_refused_for_the_hosts_in_it(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, f"machine example.org login ann password {SECRET}\n", mode)
    with pytest.raises(CredentialFileError, match="chmod 600") as caught:
        file.find("example.org")
    assert caught.value.host == "example.org"
    assert caught.value.path == str(tmp_path / "netrc")
    # public data of other hosts does not depend on it
    assert file.find("other.org") is None


@pytest.mark.parametrize(
    "content",
    [
        f"{SECRET}\n",
        f"machine example.org login ann password one {SECRET} x\n",
        f"machine example.org {SECRET} ann\n",
        b"machine example.org login ann password s3cr3t-h1dd3n\xff\x00\xfe \xff\n",
        f'machine example.org login ann password "{SECRET}\n',
        f"machine example.org login a:b password {SECRET}\n",
    ],
)
def test_file_that_is_no_netrc_is_an_error_that_shows_nothing_of_it(
    tmp_path: Path, content: str | bytes
) -> None:
    file = written(tmp_path, content)
    with pytest.raises(CredentialFileError) as caught:
        file.find("example.org")
    exc = caught.value
    shown = "".join(traceback.format_exception(exc)) + repr(exc) + str(exc.to_fields())
    assert SECRET not in shown + repr(file)


def test_syntax_error_names_the_line(tmp_path: Path) -> None:
    file = written(tmp_path, f"machine a.org login ann password one\nnonsense {SECRET}\n")
    with pytest.raises(CredentialFileError, match="line 2"):
        file.find("a.org")


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "netrc")
    with pytest.raises(CredentialFileError, match="directory"):
        NetrcFile(str(tmp_path / "netrc")).find("example.org")
