"""A daemon is killed at each system call of a request's way through the spool, one after the other.

After each: the next start finds the request under way, or its answer; it is fetched, the answer is
there, nobody's request is lost or answered twice, and nothing is left but what a sweep takes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache import config
from fscache.cache import Cache
from fscache.errors import FscacheError
from fscache.records.root import Root
from fscache.server.board import Board
from fscache.server.keeper import Keeper
from fscache.server.spool import Asked, Spool
from tests.crash.conftest import faults
from tests.support.strace import traced

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.origin import Origin
    from tests.support.strace import Call

pytestmark = pytest.mark.usefixtures("injection")

NAME = "dropped-by-a-node"


def open_cache(path: str) -> Cache:
    given = {"root": path, "attempts": 1}
    return Cache(path, config=config.load({}, given, "/nonexistent"))


def serve(path: str) -> None:
    """Do what a start and one turn of the daemon's keeper do, and wait until all has ended."""
    with open_cache(path) as cache:
        cache.root.ensure()
        spool = Spool(cache.root)
        spool.ensure()
        board = Board(cache, spool, now=time.time, stopping=lambda: False)
        keeper = Keeper(spool, board, lambda: None, lambda: None)
        keeper._resume()
        keeper._take_dropped()
        deadline = time.monotonic() + 30
        while list(board.under_way()) and time.monotonic() < deadline:
            time.sleep(0.002)
        # The last request's end is written down by the thread that carried it.
        while spool.accepted() and time.monotonic() < deadline:
            time.sleep(0.002)


def drop(path: str, urls: list[str]) -> None:
    root = Root(path, now=time.time)
    root.ensure()
    spool = Spool(root)
    spool.ensure()
    Path(spool.path, "new", NAME).write_text(json.dumps({"urls": urls}))


def accept(path: str, urls: list[str]) -> None:
    """Leave a request as a daemon that was killed leaves one."""
    drop(path, urls)
    os.unlink(f"{path}/spool/new/{NAME}")
    spool = Spool(Root(path, now=time.time))
    spool.accept(NAME, Asked([[url] for url in urls], {}, "10.0.0.1", 1.0))


def calls_of(path: str) -> list[Call]:
    run = traced(lambda: serve(path))
    if run.error is not None:
        raise run.error
    return [call for call in run.calls if f"{path}/spool" in call.text]


def answers(path: str) -> list[dict[str, Any]]:
    return [
        json.loads(Path(path, "spool", where, name).read_text())
        for where in ("done", "failed")
        for name in os.listdir(f"{path}/spool/{where}")
    ]


def wrong(path: str, urls: list[str], *, answered: bool) -> list[str]:
    """Judge a root after a crash and another start."""
    before = set(os.listdir(f"{path}/spool/tmp"))
    try:
        serve(path)
    except FscacheError as exc:
        return [f"the next start fails: {exc!r}"]
    found = faults(path)
    with open_cache(path) as cache:
        found += [f"{url} is not here" for url in urls if cache.lookup(url) is None]
    for where in ("new", "cur"):
        found += [f"left in {where}: {name}" for name in os.listdir(f"{path}/spool/{where}")]
    told = answers(path)
    if len(told) != 1:
        found.append(f"{len(told)} answers")
    elif answered and [each["state"] for each in told[0]["requests"]] != ["done"] * len(urls):
        found.append(f"answered {told[0]}")
    left = set(os.listdir(f"{path}/spool/tmp")) - before
    found += [f"the next start left {name}" for name in left]
    return found


@pytest.mark.parametrize(
    ("prepare", "answered"), [(drop, True), (accept, False)], ids=["dropped", "accepted"]
)
def test_killed_at_any_call_of_the_spool_no_request_is_lost(
    quick_tmp: str, origin: Origin, prepare: Callable[[str, list[str]], None], answered: bool
) -> None:
    urls = [origin.add(f"/f{n}", b"%d" % n) for n in range(2)]
    template = f"{quick_tmp}/template"
    prepare(template, urls)

    def copy(name: object) -> str:
        path = f"{quick_tmp}/{name}/cache"
        shutil.copytree(template, path)
        return path

    calls = calls_of(copy("whole"))
    assert len({call.name for call in calls}) >= 3
    failed = {}
    killed = 0
    for number, call in enumerate(calls):
        path = copy(number)
        run = traced(lambda: serve(path), f"{call.name}:signal=SIGKILL:when={call.number}")  # noqa: B023
        killed += run.killed
        found = wrong(path, urls, answered=answered)
        if found:
            failed[f"{call.name} {call.number}: {call.text[-100:]}"] = found
        shutil.rmtree(os.path.dirname(path))
    assert failed == {}
    assert killed >= 5
