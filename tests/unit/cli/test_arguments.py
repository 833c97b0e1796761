"""Promises of fscache.cli.arguments."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from fscache.cli.arguments import COMMANDS, module_of, parse
from fscache.cli.exits import UsageError


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_and_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(module_of(name))
    assert callable(module.configure)
    assert callable(module.execute)
    with pytest.raises(SystemExit) as caught:
        parse([*name.split(), "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: fscache {name} ")
    assert "--root DIR" in shown
    assert "--json" in shown


def test_help_without_a_command_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n    {name.split(' ')[0]} " in shown


@pytest.mark.parametrize(
    "argv",
    [
        ["--root", "/r", "--json", "path", "http://h/"],
        ["path", "http://h/", "--root", "/r", "--json"],
        ["--json", "path", "--root", "/r", "http://h/"],
    ],
)
def test_global_options_stand_before_or_behind_the_command(argv: list[str]) -> None:
    arguments = parse(argv)
    assert (arguments.command, arguments.root, arguments.json) == ("path", "/r", True)
    assert arguments.name == "http://h/"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("get A -q B", {"urls": ["A", "B"], "quiet": True}),
        ("get A --json B --offline C", {"urls": ["A", "B", "C"], "json": True, "offline": True}),
        ("get -q A -o B A --json B", {"urls": ["A", "A", "B"], "output": "B", "json": True}),
        ("get A -q B -- -C --json", {"urls": ["A", "B", "-C", "--json"], "quiet": True}),
        ("get A -q -- -B", {"urls": ["A", "-B"], "quiet": True}),
        ("get A --json -- -q -- B", {"urls": ["A", "-q", "--", "B"], "json": True}),
        ("put a --json b", {"files": ["a", "b"], "json": True}),
        ("put a --json -", {"files": ["a", "-"], "json": True}),
        ("forget A --root /r B", {"urls": ["A", "B"], "root": "/r"}),
        ("kv rm a --json b", {"keys": ["a", "b"], "json": True}),
        ("kv put a --json b", {"key": "a", "value": "b", "json": True}),
        ("kv incr a --json -5", {"key": "a", "json": True}),
        ("workers stop a --on h b", {"names": ["a", "b"]}),
        ("workers stop --on h", {"names": []}),
    ],
)
def test_options_stand_between_the_words_of_a_command(
    words: str, expected: dict[str, object]
) -> None:
    arguments = vars(parse(words.split()))
    assert {name: arguments.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("get A -q B --nonsense C", "unrecognized arguments: --nonsense C"),
        ("get A --root", "argument --root: expected one argument"),
        ("get A -q B --root", "argument --root: expected one argument"),
        ("get -q", "the following arguments are required: URL"),
        ("kv incr a --json 1 --root /r 2", "unrecognized arguments: 2"),
        ("path a --json b", "unrecognized arguments: b"),
        ("auth login h --bearer i", "unrecognized arguments: i"),
        ("--nonsense get A -q B", "unrecognized arguments: --nonsense"),
    ],
)
def test_what_does_not_fit_between_them_is_told_as_ever(words: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert caught.value.why == why


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["auth"],
        ["auth", "nonsense"],
        ["get"],
        ["get", "--nonsense", "http://h/"],
        ["get", "--off", "http://h/"],
        ["path", "a", "b"],
        ["admin", "ls", "--sort", "colour"],
        ["admin", "ls", "--limit", "x"],
        ["auth", "login", "h"],
        ["auth", "login", "h", "--bearer", "--user", "u"],
        ["auth", "login", "h", "--bearer=secret"],
    ],
)
def test_arguments_that_do_not_fit_are_a_usage_error(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(argv)


def test_an_unknown_option_sends_to_the_help_of_its_command() -> None:
    for command in ("get", "kv rm"):
        with pytest.raises(UsageError, match=f"--nonsense .see fscache {command} --help"):
            parse([*command.split(), "--nonsense", "http://h/"])


def test_the_package_can_be_run_as_a_program() -> None:
    for argv, code in ((["--version"], 0), (["path", "nonsense"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "fscache", *argv], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert (done.stdout if code == 0 else done.stderr).startswith("fscache")


def loaded(*argv: str) -> set[str]:
    code = (
        "import sys\n"
        "from fscache.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "print(*sys.modules, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_a_hit_imports_nothing_that_it_does_not_need(root_path: str, tmp_path: object) -> None:
    import fscache

    address = fscache.Cache(root_path).put(b"bytes")
    costly = {"requests", "filelock", "keyring", "watchdog", "sqlite3", "xmlrpc", "logging",
              "dataclasses", "typing", "pathlib"}  # fmt: skip
    modules = loaded("--root", root_path, "path", address)
    assert not modules & (costly | {"json"})
    assert {name for name in modules if name.startswith("fscache.cli.")} == {
        "fscache.cli.main", "fscache.cli.session", "fscache.cli.arguments", "fscache.cli.path",
    }  # fmt: skip
    assert not loaded("--root", root_path, "--json", "path", address) & costly
