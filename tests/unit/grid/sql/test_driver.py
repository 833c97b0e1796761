"""Who is there to work for a query."""

from __future__ import annotations

from typing import Any

from fscache.grid.cluster import WorkerInfo
from fscache.grid.sql.driver import _rosters, _workers


class Growing:
    """Stands for a cluster that a worker joins."""

    here = ("a",)

    def addresses(self) -> list[str]:
        return list(self.here)

    def workers(self) -> list[WorkerInfo]:
        return [WorkerInfo(each, each, "host", 1, each, "", 1) for each in self.here]


def test_what_another_thread_reads_stays_as_it_is_when_a_worker_comes() -> None:
    growing: Any = Growing()
    assert [worker.name for worker in _workers(growing)] == ["a"]
    read = _rosters[growing].items()  # by a query that goes through them
    growing.here = ("a", "b")
    assert [worker.name for worker in _workers(growing)] == ["a", "b"]
    assert [address for address, _ in read] == ["a"]
