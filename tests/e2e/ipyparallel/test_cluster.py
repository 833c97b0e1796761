"""A real cluster whose controller keeps its history in a root."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("ipyparallel", reason="ipyparallel is not installed")

from fscache.cache import Cache
from fscache.errors import ResultUnavailableError, TaskFailedError
from tests.support.commands import Shell
from tests.support.farm import Farm, farm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.leaks,  # zmq's own threads and descriptors live as long as the process
    pytest.mark.filterwarnings("default"),  # theirs
    pytest.mark.filterwarnings("ignore:Interpreting naive datetime"),
    pytest.mark.timeout(180),
]

NAME = "fscache.bridges.ipyparallel.FSCacheDB"
WAIT = 60


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Farm]:
    with farm(tmp_path) as made:
        yield made


def square(number: int) -> int:
    print("squaring", number)
    return number * number


def sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


def completed(client: Any, ids: list[str]) -> bool:
    """Whether all of these are recorded as completed: a result comes before its record."""
    query = {"msg_id": {"$in": ids}, "completed": {"$ne": None}}
    return len(client.db_query(query, ["msg_id"])) == len(ids)


def test_a_history_outlives_its_controller(  # noqa: PLR0915 - one life, from its start to its end
    cluster: Farm, tmp_path: Path, until: Callable[..., None]
) -> None:
    cluster.configure(f"c.IPController.db_class = {NAME!r}")
    cluster.start(engines=2)
    first = cluster.client()
    view = first.load_balanced_view()
    done = [view.apply_async(square, number) for number in range(50)]
    assert [each.get(WAIT) for each in done] == [number * number for number in range(50)]
    ids = [each.msg_ids[0] for each in done]

    # Queries, from this client and from the side.
    until(lambda: completed(first, ids), "the last result to be recorded", WAIT)
    assert set(ids) <= set(first.hub_history())
    records = first.db_query({"msg_id": {"$in": ids}}, keys=["completed", "stdout", "queue"])
    assert [record["queue"] for record in records] == ["task"] * 50
    assert all(isinstance(record["completed"], datetime) for record in records)
    until(
        lambda: (
            {record["stdout"] for record in first.db_query({"msg_id": {"$in": ids}}, ["stdout"])}
            == {f"squaring {number}\n" for number in range(50)}
        ),
        "the output of all tasks to be recorded",
        WAIT,
    )
    shell = Shell(str(tmp_path))
    listed = shell.run("--root", cluster.root, "tasks", "ls", "--json", "--filter", "state=done")
    assert set(ids) <= {each["msg_id"] for each in listed.objects}

    # Another client has the results of this one's tasks.
    second = cluster.client()
    assert second.get_result(ids[7], owner=False).get(WAIT) == 49

    # What is run again has an id of its own, which the old record tells.
    again = second.resubmit([ids[9]])
    assert again.get(WAIT) == [81]
    until(lambda: completed(second, again.msg_ids), "its result to be recorded", WAIT)
    until(
        lambda: (
            second.db_query({"msg_id": ids[9]}, ["resubmitted"])[0]["resubmitted"]
            == again.msg_ids[0]
        ),
        "the old record to be told the new id",
        WAIT,
    )

    second.purge_hub_results(ids[:10])
    left = set(second.hub_history())
    assert not left & set(ids[:10])
    assert set(ids[10:]) <= left

    # The controller has the records open, and none of the schedulers that it has forked.
    assert cluster.open_in(cluster.controller.pid, cluster.root)
    schedulers = cluster.children(cluster.controller.pid)
    assert schedulers
    assert not any(cluster.open_in(pid, cluster.root) for pid in schedulers)

    # One runs while the controller is killed; its schedulers live on.
    running = view.apply_async(sleep, 3600).msg_ids[0]
    until(
        lambda: second.db_query({"msg_id": running, "engine_uuid": {"$ne": None}}),
        "the last task to be given to an engine",
        WAIT,
    )
    before = second.hub_history()
    cluster.kill_controller()
    cluster.configure(f"c.HubFactory.db_class = {NAME!r}")  # as it was spelled before
    cluster.start(engines=2)
    third = cluster.client()
    assert third.hub_history() == before
    assert third.get_result(ids[20], owner=False).get(WAIT) == 400
    assert [record["msg_id"] for record in third.db_query({"completed": None}, ["msg_id"])] == [
        running
    ]
    last = third.load_balanced_view().apply_async(square, 3)
    assert last.get(WAIT) == 9

    # What nobody will complete any more is left alone by every purge but the one that is told to.
    until(lambda: completed(third, last.msg_ids), "the last result to be recorded", WAIT)
    third.purge_hub_results("all")
    assert third.hub_history() == [running]
    assert shell.run("--root", cluster.root, "tasks", "purge", "--query", "{}").code == 0
    assert third.hub_history() == [running]
    dropped = shell.run(
        *("--root", cluster.root, "tasks", "purge", "--pending", "--json"),
        *("--filter", "state=running"),
    )
    assert dropped.objects == [{"dry_run": False, "tasks": 1}]
    assert third.hub_history() == []
    assert "Error" not in cluster.log().replace("KeyError: 'No such", ""), cluster.log()


def test_the_queries_of_the_manual_run_through_a_client(
    cluster: Farm, until: Callable[..., None]
) -> None:
    cluster.configure(f"c.IPController.db_class = {NAME!r}")
    cluster.start(engines=2)
    rc = cluster.client()
    other = cluster.client()
    mine = [rc[target].apply_async(os.getpid) for target in rc.ids]
    theirs = other[0].apply_async(os.getpid)
    for each in [*mine, theirs]:
        each.get(WAIT)
    ids = [each.msg_ids[0] for each in mine]
    everything = [*ids, theirs.msg_ids[0]]
    until(lambda: completed(rc, everything), "all results to be recorded", WAIT)

    def found(records: list[dict[str, Any]]) -> set[str]:
        return {record["msg_id"] for record in records}

    incomplete = rc.db_query({"completed": None}, keys=["msg_id", "started"])
    assert incomplete == []
    hourago = datetime.now() - timedelta(1.0 / 24)  # noqa: DTZ005 - as it stands there
    recent = rc.db_query({"started": {"$gte": hourago}, "client_uuid": rc.session.session})
    assert found(recent) == set(ids)
    assert "buffers" not in recent[0]
    soon = datetime.now() + timedelta(1.0 / 24)  # noqa: DTZ005
    others = rc.db_query({"started": {"$le": soon}, "client_uuid": {"$ne": rc.session.session}})
    assert found(others) == {theirs.msg_ids[0]}
    uuids = map(rc._engines.get, (0, 1))
    headers = rc.db_query({"engine_uuid": {"$in": uuids}}, keys="result_header")
    assert found(headers) == set(everything)
    assert all(record["result_header"]["msg_type"] == "apply_reply" for record in headers)

    # Purging by engine, which none of theirs does.
    rc.purge_hub_results(targets=[1])
    assert set(rc.hub_history()) == {ids[0], theirs.msg_ids[0]}

    # A wrong query is the asker's error, and says what was meant.
    import ipyparallel

    with pytest.raises(ipyparallel.RemoteError, match="did you mean 'completed'"):
        rc.db_query({"completd": None})


def fail() -> None:
    raise LookupError("nothing here")


def test_a_program_beside_waits_for_the_clusters_tasks(
    cluster: Farm, until: Callable[..., None]
) -> None:
    cluster.configure(f"c.IPController.db_class = {NAME!r}")
    cluster.start(engines=1)
    rc = cluster.client()
    with Cache(cluster.root) as cache:
        bad = rc[0].apply_async(fail)
        good = rc[0].apply_async(sleep, 0.5)
        rc.wait([bad, good], WAIT)
        msg_id = good.msg_ids[0]
        ids = [bad.msg_ids[0], msg_id]
        until(
            lambda: cache.tasks.count({"msg_id": {"$in": ids}}) == 2,
            "the controller to hear of them",
            WAIT,
        )
        assert cache.tasks.wait(ids, WAIT)
        with pytest.raises(TaskFailedError, match="LookupError: nothing here") as caught:
            cache.tasks.get_result(bad.msg_ids[0])
        assert len(caught.value.traceback.splitlines()) > 3
        with pytest.raises(ResultUnavailableError):  # in a form of theirs: a client reads it
            cache.tasks.get_result(msg_id)


def test_many_clients_output_is_kept_in_order(cluster: Farm, until: Callable[..., None]) -> None:
    cluster.configure(f"c.IPController.db_class = {NAME!r}", "c.FSCacheDB.record_limit = 20")
    cluster.start(engines=1)
    rc = cluster.client()
    code = "for number in range(200):\n    print(number)"
    msg_id = rc[0].execute(code, silent=False).msg_ids[0]
    expected = "".join(f"{number}\n" for number in range(200))
    until(
        lambda: (
            [each["stdout"] for each in rc.db_query({"msg_id": msg_id}, ["stdout"])] == [expected]
        ),
        "the whole output",
        WAIT,
    )
    record = rc.db_query({"msg_id": msg_id})[0]
    assert record["execute_input"] == code
    # Limits of the configuration file hold.
    many = [rc[0].apply_async(square, number) for number in range(60)]
    for each in many:
        each.get(WAIT)
    until(lambda: completed(rc, many[-1].msg_ids), "the last result to be recorded", WAIT)
    with Cache(cluster.root) as cache:
        assert 18 <= cache.tasks.count({"completed": {"$ne": None}}) <= 20
