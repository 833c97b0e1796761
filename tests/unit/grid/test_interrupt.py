from __future__ import annotations

import threading

import pytest

from fscache.grid.interrupt import Work


def started(function: object) -> tuple[Work, threading.Thread, list]:
    work = Work(function, "run", "owner")  # type: ignore[arg-type]
    outcome: list = []
    thread = threading.Thread(target=lambda: outcome.append(work.run()))
    thread.start()
    return work, thread, outcome


def test_a_loop_in_python_ends_when_it_is_cancelled() -> None:
    began, ended = threading.Event(), threading.Event()

    def loop() -> list:
        began.set()
        try:
            while True:
                pass
        finally:
            ended.set()

    work, thread, outcome = started(loop)
    assert began.wait(5)
    work.cancel()
    thread.join(5)
    assert outcome == [[]]
    assert ended.wait(5)


def test_who_waits_is_free_even_if_the_mapper_is_not() -> None:
    began, stop = threading.Event(), threading.Event()

    def sleep() -> list:
        began.set()
        while not stop.wait(60):
            pass
        return []

    work, thread, outcome = started(sleep)
    assert began.wait(5)
    work.cancel()
    thread.join(5)
    assert outcome == [[]]
    stop.set()
    work._thread.join(5)
    assert not work._thread.is_alive()


def test_a_cancel_that_comes_too_late_or_too_early_does_no_harm() -> None:
    work = Work(list, "run", "owner")
    assert work.run() == []
    work.cancel()
    early = Work(lambda: [1 / 0], "run", "owner")  # type: ignore[list-item]
    early.cancel()
    assert early.run() == []


def test_a_mapper_that_raises_raises_where_it_is_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        Work(lambda: [1 / 0], "run", "owner").run()  # type: ignore[list-item]
