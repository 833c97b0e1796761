"""Promises of fscache.records.piecework: the same rows and strays, whatever becomes of the helper."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from fscache.fs import helper
from fscache.objects import walk
from fscache.objects.layout import Split
from fscache.records import objectrows, piecework
from fscache.records.piecework import Shared
from fscache.urls.index import URLIndex
from tests.support.catalogs import assert_catalog_is_true, keep, keeper_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.records.piecework import Rows
    from fscache.records.root import Root

STRAYS = ["note", "0123/note", "zz/zz"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make many pieces of few objects, and processors for two."""
    monkeypatch.setattr(walk, "_AT_ONCE", 4)
    monkeypatch.setattr(piecework, "LEAST", 8)
    monkeypatch.setattr(helper, "spare", lambda: 1)


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


def expected(root: Root) -> tuple[Rows, list[str]]:
    """Return what a walk without any sharing finds."""
    rows, strays = objectrows.reader(f"{root.path}/objects", str(root.object_split), [])(
        sorted(os.listdir(f"{root.path}/objects"))
    )
    assert len(rows) == 400
    assert strays
    return rows, sorted(strays)


class Reading:
    """One reading of a root's objects: begun, and what has come of it so far."""

    def __init__(self, root: Root) -> None:
        self.strays: list[str] = []
        self.rows: Rows = []
        self.shared = Shared([objectrows.share(root, self.strays)])

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.shared._helper is not None
        return self.shared._helper._process

    def take_ready(self) -> int:
        for _share, rows in self.shared.ready():
            self.rows += rows
        return len(self.rows)

    def all(self) -> tuple[Rows, list[str]]:
        shown: list[tuple[str, int, int]] = []
        for _share, rows in self.shared.rest(lambda *step: shown.append(step)):
            self.rows += rows
        # Nothing is shown where the helper has already done all.
        assert not shown or shown[-1][1] == shown[-1][2]
        return sorted(self.rows), sorted(self.strays)


@pytest.fixture
def reading(filled: Root) -> Iterator[Reading]:
    made = Reading(filled)
    with made.shared:
        yield made


def test_alone(filled: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "spare", lambda: 0)
    reading = Reading(filled)
    with reading.shared as shared:
        assert shared._helper is None
        assert reading.take_ready() == 0
        assert reading.all() == expected(filled)


def test_with_a_helper_that_does_much(
    filled: Root, reading: Reading, until: Callable[..., None]
) -> None:
    until(lambda: reading.take_ready() >= 200)
    assert reading.all() == expected(filled)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_with_a_helper_that_ends_or_hangs_at_once(
    filled: Root, reading: Reading, end: signal.Signals
) -> None:
    reading.process.send_signal(end)
    assert reading.all() == expected(filled)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_with_a_helper_that_ends_or_hangs_on_the_way(
    filled: Root, reading: Reading, end: signal.Signals, until: Callable[..., None]
) -> None:
    until(reading.take_ready)
    reading.process.send_signal(end)
    assert reading.all() == expected(filled)


def test_what_was_done_here_meanwhile_does_not_count_twice(
    filled: Root, reading: Reading, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks the helper, which has done what it was given, before nearly all is done here."""
    given = reading.shared._helper
    assert given is not None
    results = given.results
    waiting: list[object] = []
    until(lambda: waiting.extend(results()) or len(waiting) == len(reading.shared._given))
    monkeypatch.setattr(given, "results", list)
    rest = reading.shared.rest(lambda *_step: None)
    while len(reading.rows) < 350:
        reading.rows += next(rest)[1]
    monkeypatch.setattr(given, "results", lambda: [waiting.pop(0) for _ in waiting[:]])
    for _share, rows in rest:
        reading.rows += rows
    assert (sorted(reading.rows), sorted(reading.strays)) == expected(filled)


def test_where_no_process_can_be_started(filled: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    reading = Reading(filled)
    with reading.shared as shared:
        assert shared._helper is None
        assert reading.all() == expected(filled)


def test_a_small_root_starts_none(root: Root) -> None:
    root.ensure()
    keep(root, b"x")
    reading = Reading(root)
    with reading.shared as shared:
        assert shared._helper is None
        assert len(reading.all()[0]) == 1


@pytest.fixture
def busy(root: Root, monkeypatch: pytest.MonkeyPatch) -> Iterator[Root]:
    """Return a root of whose catalog a helper surely reads a part."""
    results = helper.Helper.results
    taken: list[object] = []

    def wait_for_some(self: helper.Helper) -> list[object]:
        deadline = time.monotonic() + 20
        while not taken and time.monotonic() < deadline and self._process.poll() is None:
            taken.extend(found := results(self))
            if found:
                return found
            time.sleep(0.01)
        return results(self)

    monkeypatch.setattr(helper.Helper, "results", wait_for_some)
    monkeypatch.setattr("fscache.urls.source._AT_ONCE", 1)
    for number in range(60):
        keep(root, b"%d" % number * 9, f"https://host/{number}", f"https://mirror/{number}")
    yield root
    assert taken


def test_a_reindex_with_a_helper_is_true(busy: Root) -> None:
    survey = keeper_of(busy).reindex()
    assert (survey.objects, survey.entries) == (60, {"url": 120})
    assert_catalog_is_true(busy)


def test_entries_that_are_not_as_usual_are_looked_at_with_care(busy: Root) -> None:
    index = URLIndex(busy)
    entry = index.entry("https://host/7")
    assert entry is not None
    entry.url = "https://long/entry"
    entry.checksums = {f"sum{number}": "0" * 64 for number in range(200)}  # more than one read
    index.write(entry)
    entries = busy.entries("urls", b"url")
    bad = entries.path(b"https://host/8")
    with open(bad, "r+b") as file:
        file.seek(40)
        file.write(b"XX")
    with open(f"{busy.path}/urls/note", "w") as file:
        file.write("no directory")
    survey = keeper_of(busy).reindex()
    assert survey.entries == {"url": 120}  # one more, one fewer
    assert not os.path.exists(bad)  # put aside, as whoever had asked for it would have
    assert_catalog_is_true(busy)
