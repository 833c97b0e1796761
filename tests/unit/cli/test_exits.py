"""Promises of fscache.cli.exits and failure: one code for every error, and nothing secret told."""

from __future__ import annotations

import dataclasses
import errno
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fscache import errors
from fscache.cli import exits, failure
from fscache.cli.exits import UsageError, exit_code

CLASSES = [
    value
    for _, value in sorted(vars(errors).items())
    if inspect.isclass(value) and issubclass(value, errors.FscacheError)
]


def make(kind: type[errors.FscacheError]) -> errors.FscacheError:
    values: dict[str, Any] = {
        "str": "text", "int": 3, "float": 1.5, "bool": True, "float | None": None,
        "tuple[FscacheError, ...]": (errors.NotFoundError("http://h/", 404, "no"),),
    }  # fmt: skip
    return kind(
        **{
            field.name: values.get(str(field.type), "text")
            for field in dataclasses.fields(kind)
            if field.default is dataclasses.MISSING
        }
    )


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_an_exit_code_of_its_own_meaning(
    kind: type[errors.FscacheError],
) -> None:
    code = exit_code(make(kind))
    assert code in exits.MEANINGS
    if kind is not errors.FscacheError:
        assert code not in (exits.OK, exits.INTERRUPTED, exits.PIPE_CLOSED)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("fscache get", "no"), 2),
        (errors.NotCachedError("u"), 3),
        (errors.OfflineError("u"), 3),
        (errors.NotFoundError("u", 404, "Not Found"), 3),
        (errors.HTTPStatusError("u", 418, "teapot"), 4),
        (errors.StalledError("u", "slow"), 4),
        (errors.CAFileError("u", "unreadable"), 2),
        (errors.LengthError("u", 2, 1), 4),
        (errors.ChecksumError("u", "md5", "a", "b"), 5),
        (errors.CorruptObjectError("p", "flipped"), 5),
        (errors.NoSpaceError("u", "full", 2, 1), 6),
        (errors.StoreFullError("p", "full"), 6),
        (errors.RootPermissionError("p", "no"), 7),
        (errors.NotACacheError("p", "no"), 7),
        (errors.TargetRefusedError("u", "private"), 7),
        (errors.AuthenticationError("u", 401, "Unauthorized"), 8),
        (errors.NoKeyringError("h", "none"), 8),
        (errors.ServerUnreachableError("s:1", "refused"), 4),
        (errors.TryAgainError("s:1", "busy"), 4),
        (errors.RemoteError("s:1", "internal error"), 4),
        (errors.AccessDeniedError("s:1", "no token"), 8),
        (errors.RefusedRequestError("s:1", "too large"), 2),
        (errors.UnknownRequestError("s:1", "ended"), 3),
        (errors.LockTimeoutError("p", "held"), 9),
        (FileNotFoundError(errno.ENOENT, "none", "f"), 3),
        (PermissionError(errno.EACCES, "none", "f"), 7),
        (OSError(errno.ENOSPC, "full", "f"), 6),
        (OSError(errno.EIO, "broken", "f"), 1),
        (KeyboardInterrupt(), 130),
        (RuntimeError("a fault"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_exit_with_the_documented_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_mirrors_that_agree_give_their_code_and_others_that_of_the_network() -> None:
    missing = errors.NotFoundError("u", 404, "Not Found")
    wrong = errors.ChecksumError("u", "md5", "a", "b")
    assert exit_code(errors.AllMirrorsFailedError("u", (wrong, wrong))) == 5
    assert exit_code(errors.AllMirrorsFailedError("u", (missing, missing))) == 3
    assert exit_code(errors.AllMirrorsFailedError("u", (missing, wrong))) == 4


def test_the_manual_lists_exactly_these_codes() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    listed = {
        int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", manual, re.MULTILINE)
    }
    assert listed == exits.MEANINGS


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_told_in_one_line_and_as_json(
    kind: type[errors.FscacheError], capsys: pytest.CaptureFixture[str]
) -> None:
    error = make(kind)
    failure.report(error, json=False)
    line = capsys.readouterr().err
    assert line.startswith("fscache: error: ")
    assert line.count("\n") == 1
    code = failure.report(error, json=True)
    told = json.loads(capsys.readouterr().err)
    assert told["exit_code"] == code
    assert told["error"]["code"] == kind.code
    assert set(error.to_fields()) <= set(told["error"])


def test_an_error_that_nobody_expected_tells_where_it_was_raised(
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty: dict[str, str] = {}
    with pytest.raises(KeyError) as caught:
        empty["x"]
    assert failure.report(caught.value, json=False) == 1
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"fscache: error: unexpected KeyError: 'x' \(.+test_exits\.py:\d+\)\n", line
    )


def test_an_error_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    failure.report(errors.NotCachedError("a\x1b[2J\nfscache: all is well"), json=False)
    shown = capsys.readouterr().err
    assert shown == "fscache: error: not in the cache: a\\x1b[2J\\nfscache: all is well\n"


def test_where_a_credential_was_refused_none_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = errors.AuthenticationError("https://h/a", 401, "it does not do", "/home/ann/.netrc")
    failure.report(error, json=False)
    assert capsys.readouterr().err == f"fscache: error: {error}\n"
    failure.report(error, json=True)
    told = json.loads(capsys.readouterr().err)
    assert told["error"]["credential_from"] == "/home/ann/.netrc"


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "fscache auth login"), (407, "proxy's URL"), (403, "")]
)
def test_who_wants_a_credential_tells_how_to_give_one(
    capsys: pytest.CaptureFixture[str], status: int, hint: str
) -> None:
    error = errors.AuthenticationError("https://h/a", status, "no")
    failure.report(error, json=False)
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"fscache: error: {error}")
    assert (hint in told) if hint else told.endswith(str(error))
    failure.report(error, json=True)
    assert not hint or hint not in capsys.readouterr().err
