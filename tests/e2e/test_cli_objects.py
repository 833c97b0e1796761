"""The commands that need no network: put, path, cat, forget, config show, admin ls."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands import Shell


def test_what_is_put_is_found_and_read_back(shell: Shell, tmp_path: Path) -> None:
    body = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(body)
    done = shell.run("put", "file")
    assert (done.code, done.err) == (0, "")
    (address,) = done.lines
    (path,) = shell.run("path", address).lines
    with open(path, "rb") as file:
        assert file.read() == body
    assert shell.run("cat", address).out == body
    assert shell.run("put", "-", stdin=body).lines == [address]
    assert shell.run("path", address, "--json").objects == [{"name": address, "path": path}]
    assert shell.run("--json", "put", "file").objects == [{"file": "file", "address": address}]


def test_the_root_is_the_argument_then_the_environment_then_the_users(
    shell: Shell, tmp_path: Path
) -> None:
    for arguments, environ, root in (
        ((), {}, tmp_path / ".cache" / "fscache"),
        ((), {"FSCACHE_ROOT": str(tmp_path / "b")}, tmp_path / "b"),
        (("--root", "c"), {"FSCACHE_ROOT": str(tmp_path / "b")}, tmp_path / "c"),
    ):
        (address,) = shell.run("put", "-", stdin=b"x", **environ).lines
        assert shell.run("put", "-", *arguments, stdin=b"x", **environ).code == 0
        (path,) = shell.run(*arguments, "path", address, **environ).lines
        assert path.startswith(f"{root}/objects/")


def test_what_is_not_here_exits_with_3_and_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    address = "0123456789abcdef0123"
    for name in ("http://127.0.0.1:9/a", address):
        done = shell.run("path", name)
        assert (done.code, done.out) == (3, b"")
        assert done.err == f"fscache: error: not in the cache: {name}\n"
    assert shell.run("forget", "http://127.0.0.1:9/a").code == 3
    assert shell.run("get", "--offline", "http://127.0.0.1:9/a").code == 3
    assert shell.run("cat", address).code == 3
    done = shell.run("--json", "path", address)
    assert done.errors == [
        {
            "error": {
                "code": "not-cached",
                "message": f"not in the cache: {address}",
                "name": address,
            },
            "exit_code": 3,
        }
    ]
    assert not (tmp_path / ".cache").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("path", "0000"),
        ("path", "../../../../etc/passwd"),
        ("path", "0123456789abcdef0123-x"),
        ("get", "no url"),
        ("get", "http://h/a\nb"),
        ("get", "http://ann%0a:s3cr3t@h/a"),
        ("get", "http://h/a", "http://h/b", "--checksum", "md5:00"),
        ("get", "http://h/a", "--checksum", "md5:00"),
        ("get", "http://h/a", "--max-age", "soon"),
        ("get", "http://h/", "-o", "."),
        ("admin", "ls", "--limit", "-1"),
    ],
)
def test_questions_that_make_no_sense_exit_with_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    done = shell.run(*arguments)
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith("fscache: error: ")
    assert done.err.count("\n") == 1
    assert "s3cr3t" not in done.err
    done = shell.run("--json", *arguments)
    assert [error["exit_code"] for error in done.errors] == [2]


def test_a_missing_file_is_reported_and_the_others_are_put(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"x")
    done = shell.run("put", "none", "here", ".")
    assert len(done.lines) == 1
    assert done.code == 3
    assert done.err.splitlines()[0] == "fscache: error: none: No such file or directory"
    assert len(done.err.splitlines()) == 2


def test_a_directory_that_is_no_cache_exits_with_7(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    done = shell.run("--root", "precious", "put", "-", stdin=b"x")
    assert done.code == 7
    assert os.listdir(tmp_path / "precious") == ["thesis.tex"]


def test_settings_tell_where_they_come_from_and_no_secret(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".config" / "fscache").mkdir(parents=True)
    file = tmp_path / ".config" / "fscache" / "config.toml"
    file.write_text('workers = 3\ntiers = ["/shared"]\n')
    secret = "s3cr3t-h1dd3n"
    done = shell.run("config", "show", "--json", "--root", "/r", FSCACHE_TOKEN=secret)
    settings = {each["name"]: (each["value"], each["source"]) for each in done.objects}
    assert settings["root"] == ("/r", "argument")
    assert settings["workers"] == (3, str(file))
    assert settings["tiers"] == (["/shared"], str(file))
    assert settings["offline"] == (False, "default")
    assert settings["token"] == ("***", "environment variable FSCACHE_TOKEN")
    assert secret not in done.out.decode()
    done = shell.run("config", "show", FSCACHE_TOKEN=secret)
    assert secret not in done.out.decode()
    shown = {line.split()[0]: line.split()[1] for line in done.lines}
    assert (shown["workers"], shown["offline"], shown["server"]) == ("3", "false", "-")
    assert shell.run("config", "show", FSCACHE_OFFLINE="maybe").code == 2


def test_a_closed_pipe_ends_the_command_without_a_word(shell: Shell, tmp_path: Path) -> None:
    (address,) = shell.run("put", "-", stdin=os.urandom(8 << 20)).lines
    (tmp_path / "file").write_bytes(b"x" * (8 << 20))
    url = f"file://{tmp_path}/file"
    for command in (("cat", address), ("get", "-q", "-o", "-", url)):
        with shell.start(*command) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(1)
            process.stdout.close()
            assert process.stderr.read() == b""
            process.wait(60)
        assert process.returncode == 141


def test_full_output_is_an_error(shell: Shell) -> None:
    (address,) = shell.run("put", "-", stdin=os.urandom(1 << 20)).lines
    with open("/dev/full", "wb") as full:
        for command in ("cat", "path"):
            with shell.start(command, address, stdout=full) as process:
                _, err = process.communicate(timeout=60)
            assert process.returncode == 6
            assert err.count(b"\n") == 1


def by_shell(shell: Shell, line: str) -> tuple[int, str, str]:
    """Run `fscache` with a line's redirections; return exit code, output and errors."""
    done = subprocess.run(
        ["sh", "-c", f"{PROGRAM} {line}"],
        env=shell.environ,
        cwd=shell.home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["put - >&- <f", "cat {} >&-", "path {} >&-", "put - <&-"])
def test_a_stream_that_is_closed_is_an_error_only_for_who_needs_it(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (address,) = shell.run("put", "f").lines
    for more in ("", "2>&-"):
        code, out, err = by_shell(shell, f"{command.format(address)} {more}")
        assert (code in {1, 7}, out) == (True, "")
        assert err.count("\n") == (not more)
        assert "Bad file descriptor" in err or more


def test_an_error_that_cannot_be_told_keeps_its_exit_code(shell: Shell) -> None:
    for closed in ("2>&-", "2>/dev/full"):
        assert by_shell(shell, f"path {'0' * 20} {closed}") == (3, "", "")


def test_paths_outside_the_locales_encoding_are_printed_as_they_are(
    shell: Shell, tmp_path: Path
) -> None:
    root = os.fsencode(tmp_path) + b"/\xff-cache"
    command = [b"put", b"-", b"--root", root]
    done = subprocess.run(
        [os.fsencode(shell.run.__globals__["PROGRAM"]), *command],
        input=b"x",
        env=shell.environ,
        capture_output=True,
        check=True,
        timeout=60,
    )
    address = done.stdout.strip()
    done = subprocess.run(
        [os.fsencode(shell.run.__globals__["PROGRAM"]), b"path", address, b"--root", root],
        env=shell.environ,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(root + b"/objects/")
