"""Promises of fscache.records.objectrows: the same rows and strays, whatever becomes of the helper."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from fscache.fs import helper
from fscache.objects import walk
from fscache.objects.layout import Split
from fscache.records import objectrows
from fscache.records.objectrows import ObjectRows
from tests.support.catalogs import assert_catalog_is_true, keep, keeper_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.records.objectrows import Row
    from fscache.records.root import Root

STRAYS = ["note", "0123/note", "zz/zz"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make many pieces of few objects, and processors for two."""
    monkeypatch.setattr(walk, "_AT_ONCE", 4)
    monkeypatch.setattr(objectrows, "LEAST", 8)
    monkeypatch.setattr(helper, "available", lambda: True)


@pytest.fixture(params=["4+4+12", "2+18"])
def filled(root: Root, request: pytest.FixtureRequest) -> Root:
    """Return a root with 400 objects and a few strays."""
    root.ensure()
    root.object_split = split = Split.parse(request.param)
    numbers = random.Random(4)
    paths = [split.relative(f"{numbers.getrandbits(80):020x}", slot=n % 2) for n in range(400)]
    for number, relative in enumerate([*paths, *STRAYS]):
        path = f"{root.path}/objects/{relative}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x" * number)
    return root


def expected(root: Root) -> tuple[list[Row], list[str]]:
    """Return what a walk without any sharing finds."""
    rows, strays = objectrows.reader(f"{root.path}/objects", str(root.object_split), [])(
        sorted(os.listdir(f"{root.path}/objects"))
    )
    assert len(rows) == 400
    assert strays
    return rows, sorted(strays)


def all_of(objects: ObjectRows, first: tuple[Row, ...] = ()) -> tuple[list[Row], list[str]]:
    shown: list[tuple[str, int, int]] = []
    rows = sorted([*first, *objects.rest(lambda *step: shown.append(step))])
    assert shown[-1][1] == shown[-1][2]
    return rows, sorted(objects.strays)


def test_alone(filled: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "available", lambda: False)
    with ObjectRows(filled) as objects:
        assert objects._helper is None
        assert list(objects.ready()) == []
        assert all_of(objects) == expected(filled)


def test_with_a_helper_that_does_most(filled: Root, until: Callable[..., None]) -> None:
    first: list[Row] = []
    with ObjectRows(filled) as objects:

        def half() -> bool:
            first.extend(objects.ready())
            return len(first) >= 200

        until(half)
        assert all_of(objects, tuple(first)) == expected(filled)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_with_a_helper_that_ends_or_hangs_at_once(filled: Root, end: signal.Signals) -> None:
    with ObjectRows(filled) as objects:
        assert objects._helper is not None
        objects._helper._process.send_signal(end)
        assert all_of(objects) == expected(filled)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_with_a_helper_that_ends_or_hangs_on_the_way(
    filled: Root, end: signal.Signals, until: Callable[..., None]
) -> None:
    first: list[Row] = []
    with ObjectRows(filled) as objects:
        until(lambda: first.extend(objects.ready()) or first)
        assert objects._helper is not None
        objects._helper._process.send_signal(end)
        assert all_of(objects, tuple(first)) == expected(filled)


def test_what_was_done_here_meanwhile_does_not_count_twice(
    filled: Root, until: Callable[..., None]
) -> None:
    """All is taken before anybody asks the helper, which has done its first pieces then."""
    with ObjectRows(filled) as objects:
        given = helper_of(objects)
        results = given.results
        waiting: list[object] = []

        def some() -> bool:
            waiting.extend(results())
            return len(waiting) == len(objects._given)

        until(some)
        given.results = list  # type: ignore[method-assign]
        rest = objects.rest(lambda *_step: None)
        rows = [next(rest) for _ in range(350)]
        given.results = lambda: [waiting.pop(0) for _ in waiting[:]]  # type: ignore[method-assign]
        rows += rest
        assert (sorted(rows), sorted(objects.strays)) == expected(filled)


def helper_of(objects: ObjectRows) -> helper.Helper:
    assert objects._helper is not None
    return objects._helper


def test_where_no_process_can_be_started(filled: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with ObjectRows(filled) as objects:
        assert all_of(objects) == expected(filled)


def test_a_small_root_starts_none(root: Root) -> None:
    root.ensure()
    keep(root, b"x")
    with ObjectRows(root) as objects:
        assert objects._helper is None
        assert len(all_of(objects)[0]) == 1


def test_a_reindex_with_a_helper_is_true(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = helper.Helper.__init__
    monkeypatch.setattr(
        helper.Helper, "__init__", lambda *arguments: started.append(1) or start(*arguments)
    )
    for number in range(60):
        keep(root, b"%d" % number * 9, f"https://host/{number}", f"https://mirror/{number}")
    survey = keeper_of(root).reindex()
    assert (survey.objects, survey.entries) == (60, {"url": 120})
    assert started == [1]
    assert_catalog_is_true(root)
