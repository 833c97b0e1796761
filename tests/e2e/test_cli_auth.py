"""`fscache auth` and what fetching makes of it: with a real keyring, a netrc, and token files."""

from __future__ import annotations

import os
import pty
import subprocess
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import PROGRAM, Shell
from tests.support.origin import Origin, Page, redirect

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-h1dd3n"
FILE_KEYRING = "keyrings.alt.file.PlaintextKeyring"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(str(tmp_path), {"PYTHON_KEYRING_BACKEND": FILE_KEYRING})


def guarded(origin: Origin, authorization: str, path: str = "/a") -> str:
    return origin.add(path, Page(b"guarded", auth=authorization))


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def test_a_host_is_logged_in_listed_used_and_logged_out(shell: Shell, origin: Origin) -> None:
    host = f"127.0.0.1:{origin.port}"
    url = guarded(origin, basic("ann", SECRET))
    refused = shell.run("get", url)
    assert refused.code == 8
    login = shell.run("auth", "login", host, "--user", "ann", "--stdin", stdin=SECRET.encode())
    assert login.code == 0, login.err
    listed = shell.run("auth", "ls")
    assert listed.lines == [f"{host}  basic  ann"]
    as_json = shell.run("--json", "auth", "ls")
    assert as_json.objects == [{"host": host, "kind": "basic", "name": "ann"}]
    fetched = shell.run("get", url)
    assert fetched.code == 0, fetched.err
    assert shell.run("cat", url).out == b"guarded"
    logout = shell.run("auth", "logout", host)
    assert logout.code == 0
    assert shell.run("auth", "logout", host).code == 3
    assert shell.run("auth", "ls").lines == []
    again = shell.run("get", "--revalidate", url)
    assert again.code == 8
    for each in (refused, login, listed, as_json, fetched, logout, again):
        assert SECRET not in each.out.decode() + each.err
    for folder, _, files in os.walk(f"{shell.home}/.cache"):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                assert SECRET.encode() not in file.read()


@pytest.mark.parametrize(
    ("options", "header"),
    [
        (["--bearer"], ("authorization", f"Bearer {SECRET}")),
        (["--header", "X-Api-Key"], ("x-api-key", SECRET)),
    ],
)
def test_tokens_are_sent_as_asked_for(
    shell: Shell, origin: Origin, options: list[str], header: tuple[str, str]
) -> None:
    login = ["auth", "login", "127.0.0.1", "--stdin", *options]
    assert shell.run(*login, stdin=f"{SECRET}\n".encode()).code == 0
    assert shell.run("get", origin.add("/a", b"x")).code == 0
    (seen,) = origin.seen("/a")
    assert seen.headers[header[0]] == header[1]


def test_a_credential_is_not_sent_to_another_host(shell: Shell, origin: Origin) -> None:
    shell.run("auth", "login", f"127.0.0.1:{origin.port}", "--bearer", "--stdin", stdin=b"token")
    with Origin() as other:
        origin.add("/a", redirect(other.add("/b", b"x")))
        assert shell.run("get", origin.url("/a")).code == 0
        assert origin.seen("/a")[0].headers["authorization"] == "Bearer token"
        assert "authorization" not in other.seen("/b")[0].headers


def test_without_a_keyring_login_says_what_to_do_and_netrc_is_used(
    tmp_path: Path, origin: Origin
) -> None:
    shell = Shell(str(tmp_path))
    done = shell.run("auth", "login", "127.0.0.1", "--bearer", "--stdin", stdin=SECRET.encode())
    assert done.code == 8
    assert "netrc" in done.err
    assert "keyrings.alt" in done.err
    assert SECRET not in done.err
    url = guarded(origin, basic("ann", SECRET))
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login ann password {SECRET}\n")
    netrc.chmod(0o644)
    done = shell.run("get", url)
    assert done.code == 8
    assert "chmod 600" in done.err
    assert SECRET not in done.err
    netrc.chmod(0o600)
    done = shell.run("get", url)
    assert done.code == 0
    assert "keyring" not in done.err


def test_a_token_file_comes_before_keyring_and_netrc(
    shell: Shell, tmp_path: Path, origin: Origin
) -> None:
    directory = tmp_path / "tokens"
    directory.mkdir(mode=0o700)
    (directory / f"fscache-127.0.0.1_{origin.port}").write_text(f"Bearer {SECRET}\n")
    shell.run("auth", "login", f"127.0.0.1:{origin.port}", "--bearer", "--stdin", stdin=b"other")
    url = guarded(origin, f"Bearer {SECRET}")
    assert shell.run("get", url, CREDENTIALS_DIRECTORY=str(directory)).code == 0


def test_a_credential_that_is_refused_is_told_by_where_it_came_from(
    shell: Shell, tmp_path: Path, origin: Origin
) -> None:
    host = f"127.0.0.1:{origin.port}"
    url = guarded(origin, basic("ann", "another"))
    missing = shell.run("get", url)
    assert f"wants a credential (status 401); `fscache auth login {host}` keeps one" in missing.err

    directory = tmp_path / "tokens"
    directory.mkdir(mode=0o700)
    token_file = directory / f"fscache-{host.replace(':', '_')}"
    token_file.write_text(f"Basic ann:{SECRET}\n")
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login ann password {SECRET}\n")
    netrc.chmod(0o600)
    told = [shell.run("get", url)]
    shell.run("auth", "login", host, "--user", "ann", "--stdin", stdin=SECRET.encode())
    told.append(shell.run("get", url))
    told.append(shell.run("get", url, CREDENTIALS_DIRECTORY=str(directory)))
    told.append(shell.run("get", url.replace("//", f"//ann:{SECRET}@")))
    for done, source in zip(
        told, (str(netrc), "the keyring", str(token_file), "the URL"), strict=True
    ):
        assert done.code == 8
        assert f"the server does not accept the credential from {source} (status 401)\n" in done.err
        assert "auth login" not in done.err
        assert SECRET not in done.err


def test_on_a_terminal_the_secret_is_asked_for_and_not_shown(shell: Shell) -> None:
    mine, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [PROGRAM, "auth", "login", "example.org", "--user", "ann"],
            env=shell.environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        shown = b""
        while b"Password for example.org: " not in shown:
            shown += os.read(mine, 1024)
        os.write(mine, f"{SECRET}\n".encode())
        assert process.wait(60) == 0
        while b"stored a credential" not in shown:
            shown += os.read(mine, 1024)
        assert SECRET.encode() not in shown
    finally:
        os.close(mine)
        os.close(theirs)
    assert shell.run("auth", "ls").lines == ["example.org  basic  ann"]


def test_without_a_terminal_nothing_is_asked_for(shell: Shell) -> None:
    apart = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    with shell.start("auth", "login", "example.org", "--bearer", **apart) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, b"")
    assert b"--stdin" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["https://example.org/", "--bearer"],
        ["example.org", "--header", "X Key"],
        ["example.org", "--user", "a:b"],
    ],
)
def test_what_cannot_be_a_credential_is_refused(shell: Shell, arguments: list[str]) -> None:
    done = shell.run("auth", "login", "--stdin", *arguments, stdin=SECRET.encode())
    assert done.code == 2
    assert SECRET not in done.err
    assert shell.run("auth", "login", "h", "--bearer", "--stdin", stdin=b"").code == 2
    assert shell.run("auth", "logout", "https://example.org/").code == 2
