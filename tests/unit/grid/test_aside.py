from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fscache.grid.aside import Aside

if TYPE_CHECKING:
    import pytest


def test_functions_are_called_in_order_elsewhere_and_no_thread_stays() -> None:
    aside = Aside()
    heard: list[tuple[int, threading.Thread]] = []
    for number in range(1000):
        aside.post(lambda number: heard.append((number, threading.current_thread())), number)
    aside.flush()
    assert [number for number, _thread in heard] == list(range(1000))
    for thread in {thread for _number, thread in heard}:
        thread.join(10)  # would raise for this one
        assert not thread.is_alive()


def test_one_may_post_another_and_flush() -> None:
    aside = Aside()
    heard: list[str] = []

    def first() -> None:
        aside.post(heard.append, "second")
        aside.flush()
        heard.append("first")

    aside.post(first)
    aside.flush()
    assert heard == ["first", "second"]


def test_flush_without_anything_returns() -> None:
    Aside().flush()


def test_one_that_raises_is_logged_and_the_next_is_called(caplog: pytest.LogCaptureFixture) -> None:
    aside = Aside()
    heard: list[str] = []

    def end() -> None:
        raise SystemExit("mine")

    aside.post(end)
    aside.post(heard.append, "next")
    aside.flush()
    assert heard == ["next"]
    assert "mine" in caplog.text
