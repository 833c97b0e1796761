import threading
from concurrent.futures import Future
from typing import Any

import pytest

from fscache import errors
from fscache.cache import Cache
from fscache.records.root import Root
from fscache.server.preconditions import Preconditions


class Board:
    def __init__(self) -> None:
        self.futures: dict[str, Future[Any]] = {"a.0": Future()}
        self.stopping = False

    def request(self, identity: str) -> Future[Any]:
        try:
            return self.futures[identity]
        except KeyError:
            raise errors.UnknownRequestError("s", identity) from None


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def preconditions(root: Root, board: Board) -> Preconditions:
    return Preconditions(root, board.request, lambda: board.stopping)


def test_what_is_met_is_met_at_once_and_after_a_restart(
    preconditions: Preconditions, root: Root, board: Board
) -> None:
    preconditions.met("ready", "me")
    preconditions.met("ready", "me")
    assert preconditions.wait(["ready"], 0) == ["ready"]
    again = Preconditions(root, board.request, lambda: False)
    assert again.wait(["ready", "other"], 0) == ["ready"]
    assert again._waited == {}


def test_waiting_ends_when_the_last_name_is_met(preconditions: Preconditions, board: Board) -> None:
    found: list[list[str]] = []
    waiter = threading.Thread(
        target=lambda: found.append(preconditions.wait(["a", "b", "request:a.0"], 30))
    )
    waiter.start()
    preconditions.met("a", "me")
    board.futures["a.0"].set_result(None)
    preconditions.met("b", "me")
    waiter.join(30)
    assert found == [["a", "b", "request:a.0"]]
    assert preconditions._waited == {}


def test_a_stop_tells_waiters_to_try_again(preconditions: Preconditions, board: Board) -> None:
    caught: list[Exception] = []
    parked = threading.Event()

    def wait() -> None:
        parked.set()
        try:
            preconditions.wait(["never"], 30)
        except errors.TryAgainError as exc:
            caught.append(exc)

    waiter = threading.Thread(target=wait)
    waiter.start()
    parked.wait(10)
    board.stopping = True
    while waiter.is_alive():
        preconditions.close()
        waiter.join(0.01)
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["", "x" * 513, "a\nb", 3])
def test_a_name_is_short_printable_text(preconditions: Preconditions, name: Any) -> None:
    with pytest.raises(errors.RefusedRequestError):
        preconditions.wait([name], 0)
    with pytest.raises(errors.RefusedRequestError):
        preconditions.met(name, "me")


def test_a_request_can_be_waited_for_and_not_declared(preconditions: Preconditions) -> None:
    with pytest.raises(errors.UnknownRequestError):
        preconditions.wait(["request:zzz.0"], 0)
    with pytest.raises(errors.RefusedRequestError):
        preconditions.met("request:a.0", "me")


def test_what_a_process_of_the_root_declares_met_is_seen_and_the_other_way_round(
    root: Root,
) -> None:
    ours = Preconditions(root, Board().request, lambda: False)
    theirs = Cache(root.path)
    done = []
    waiters = [
        threading.Thread(target=lambda: done.append(ours.wait(["theirs"], 30))),
        threading.Thread(target=lambda: done.append(theirs.wait_met(["ours"], 30))),
    ]
    for waiter in waiters:
        waiter.start()
    theirs.met("theirs")
    ours.met("ours", "10.0.0.1")
    for waiter in waiters:
        waiter.join(30)
    assert sorted(done) == [["ours"], ["theirs"]]
    assert theirs.wait_met("ours", 0) == ["ours"]
