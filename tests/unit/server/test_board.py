"""Batches of requests: written down before they go on, and what one that cannot be does to others."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache import config, errors
from fscache.cache import Cache
from fscache.server.board import Board
from fscache.server.keeper import Keeper
from fscache.server.spool import Asked, Spool, encode
from fscache.urls.fetcher import settled
from tests.support.origin import Origin, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "dropped-by-a-node"


@pytest.fixture
def cache(root_path: str) -> Iterator[Cache]:
    given = {"root": root_path, "attempts": 1}
    with Cache(root_path, config=config.load({}, given, "/nonexistent")) as made:
        made.root.ensure()
        yield made


@pytest.fixture
def spool(cache: Cache) -> Spool:
    made = Spool(cache.root)
    made.ensure()
    return made


@pytest.fixture
def board(cache: Cache, spool: Spool) -> Board:
    return Board(cache, spool, now=time.time, stopping=lambda: False)


@pytest.fixture
def slow(origin: Origin) -> Iterator[str]:
    """A URL whose bytes do not come before the test's end."""
    gate = threading.Event()
    yield origin.add("/slow", Page(b"x" * 3_000_000, gate=gate.wait))
    gate.set()


def drop(spool: Spool, name: str, **asked: Any) -> None:
    Path(spool.path, "new", name).write_text(json.dumps(asked))


def test_what_cannot_be_written_down_does_not_go_on(board: Board, spool: Spool, slow: str) -> None:
    Path(spool.path, "cur").rmdir()
    Path(spool.path, "cur").write_bytes(b"")  # in the place of a full disk
    with pytest.raises(errors.StoreError):
        board.stage(Asked([[slow]]))
    assert list(board.under_way()) == []


def test_a_second_file_of_a_name_leaves_the_first_one_alone(
    board: Board, spool: Spool, slow: str
) -> None:
    board.take_dropped(NAME, Asked([[slow]], dropped=True))
    board.take_dropped(NAME, Asked([[slow]], dropped=True))
    (status,) = board.status([f"{NAME}.0"])
    assert status["state"] in ("queued", "running")
    assert spool.accepted() == [NAME]
    board.close()


def test_a_file_that_trips_the_server_up_keeps_no_other_waiting(
    board: Board,
    spool: Spool,
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[..., None],
) -> None:
    take = board.take_dropped

    def trip(name: str, asked: Asked) -> None:
        if name == "11111111":
            raise ZeroDivisionError("a fault of ours")
        take(name, asked)

    monkeypatch.setattr(board, "take_dropped", trip)
    for at, name in enumerate(("11111111", "22222222", "33333333")):
        drop(spool, name, urls=[origin.add("/a", b"abc")], options={"max_age": 10**400})
        os.utime(f"{spool.path}/new/{name}", (at, at))
    Keeper(spool, board, lambda: None, lambda: None)._take_dropped()
    assert spool.dropped() == []
    assert "internal error" in Path(spool.path, "failed", "11111111").read_text()
    until(lambda: sorted(os.listdir(f"{spool.path}/done")) == ["22222222", "33333333"])


def test_a_fault_of_ours_is_in_the_log_to_which_its_asker_is_sent(
    board: Board, cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = "http://user:secret@host/a"
    failed = settled(url, ZeroDivisionError("a fault of ours"))
    monkeypatch.setattr(cache, "prefetch", lambda _urls, **_options: [failed])
    (status,) = board.status(board.stage(Asked([[url]])))
    assert "see the log" in status["error"]["message"]
    assert "a fault of ours" in caplog.text
    assert "secret" not in caplog.text


def test_a_batch_of_another_version_keeps_no_other_from_being_resumed(
    board: Board, spool: Spool, origin: Origin, until: Callable[..., None]
) -> None:
    url = origin.add("/a", b"abc")
    for name, options in (("11111111", {"of_tomorrow": 1}), ("22222222", {})):
        Path(spool.path, "cur", name).write_bytes(encode(Asked([[url]], options)))
    assert board.resume() == 1
    until(lambda: os.listdir(f"{spool.path}/done") == ["22222222"])
    assert os.listdir(f"{spool.path}/failed") == ["11111111"]
