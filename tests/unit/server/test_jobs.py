"""Long work of a server: begun, waited for, bounded."""

from __future__ import annotations

import threading

import pytest

from fscache import errors
from fscache.server.jobs import AT_ONCE, KEPT, Jobs


def test_a_result_is_none_until_there_is_one_and_stays(until: object) -> None:
    jobs = Jobs(lambda: False)
    gate = threading.Event()
    name = jobs.begin(lambda: gate.wait(20) and "done")
    assert jobs.result(name, 0.01) is None
    gate.set()
    assert jobs.result(name, 20) == "done"
    assert jobs.result(name, 0) == "done"


def test_so_many_at_once_and_the_next_is_told_to_come_back() -> None:
    jobs = Jobs(lambda: False)
    gate = threading.Event()
    names = [jobs.begin(lambda: gate.wait(20)) for _ in range(AT_ONCE)]
    with pytest.raises(errors.TryAgainError):
        jobs.begin(lambda: None)
    gate.set()
    assert [jobs.result(name, 20) for name in names] == [True] * AT_ONCE
    assert jobs.result(jobs.begin(lambda: 1), 20) == 1


def test_old_results_are_forgotten() -> None:
    jobs = Jobs(lambda: False)
    names = []
    for number in range(KEPT + 3):
        names.append(jobs.begin(lambda number=number: number))
        jobs.result(names[-1], 20)
    with pytest.raises(errors.UnknownRequestError):
        jobs.result(names[0], 0)
    assert jobs.result(names[-1], 0) == KEPT + 2


def test_what_it_raised_is_raised_and_faults_of_ours_are_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs = Jobs(lambda: False)

    def timeout() -> None:
        raise TimeoutError("its own")

    def fault() -> None:
        raise ZeroDivisionError("secret")

    with pytest.raises(TimeoutError, match="its own"):
        jobs.result(jobs.begin(timeout), 20)
    with pytest.raises(errors.RemoteError, match="internal error") as caught:
        jobs.result(jobs.begin(fault), 20)
    assert "secret" not in str(caught.value)
    assert "ZeroDivisionError" in caplog.text


def test_a_stopping_server_begins_nothing() -> None:
    with pytest.raises(errors.TryAgainError):
        Jobs(lambda: True).begin(lambda: None)


def test_a_stop_ends_the_waiting_for_a_result_at_once() -> None:
    stopping = threading.Event()
    gate = threading.Event()
    jobs = Jobs(stopping.is_set)
    name = jobs.begin(lambda: gate.wait(20))
    threading.Timer(0.1, stopping.set).start()
    with pytest.raises(errors.TryAgainError):
        jobs.result(name, 60)  # what came of it, had it waited for that
    gate.set()
