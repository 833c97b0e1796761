"""Promises of the embedded executor: functions run once their needs are met, and it is recorded."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from fscache.cache import Cache
from fscache.errors import (
    InvalidPreconditionError,
    NeedFailedError,
    NoSuchTaskError,
    ResultUnavailableError,
    TaskFailedError,
)
from fscache.records.root import Root
from fscache.tasks import backends
from tests.support.kv import reap, start
from tests.support.processes import ALICE, BOB, in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fscache.tasks.database import TaskDatabase
    from tests.conftest import Clock

    Until = Callable[..., None]


def add(left: Any, right: Any = 1) -> Any:
    return left + right


def fail(what: str) -> None:
    raise ValueError(what)


def late() -> None:
    raise TimeoutError("of its own")


def hold(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.01)
    return "went on"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as made:
        yield made


# -- the life of a task -------------------------------------------------------------------------------


def test_the_whole_life_is_recorded(tasks: TaskDatabase) -> None:
    with pytest.raises(TypeError):
        tasks.submit(add, 7, right="text", label="a sum").result(20)
    task = tasks.submit(add, 7, right=2, label="a sum")
    assert task.result(20) == 9
    record: Any = tasks.get_record(task.msg_id)
    assert record["submitted"] <= record["started"] <= record["completed"]
    assert record["label"] == record["metadata"]["label"] == "a sum"
    assert record["queue"] == "task"
    assert record["content"]["function"].endswith(":add")
    assert record["result_content"] == {"status": "ok"}
    assert record["engine_uuid"].startswith(f"{os.uname().nodename}:{os.getpid()}:")
    assert record["client_uuid"] == record["header"]["session"]
    assert record["header"]["date"] == record["submitted"]
    assert tasks.count({"label": "a sum", "completed": {"$ne": None}}) == 2


def test_what_a_task_raises_is_raised_and_recorded(tasks: TaskDatabase) -> None:
    task = tasks.submit(fail, "no luck")
    with pytest.raises(ValueError, match="no luck"):
        task.result(20)
    with pytest.raises(ValueError, match="no luck"):
        tasks.get_result(task.msg_id)
    record: Any = tasks.get_record(task.msg_id)
    assert record["error"]["ename"] == "ValueError"
    assert "no luck" in "".join(record["error"]["traceback"])


def test_what_cannot_be_pickled_runs_all_the_same(tasks: TaskDatabase) -> None:
    lock = threading.Lock()
    task = tasks.submit(lambda: lock)
    assert task.result(20) is lock
    with pytest.raises(ResultUnavailableError):
        tasks.get_result(task.msg_id)
    with pytest.raises(ResultUnavailableError, match="pickle"):
        tasks.resubmit(task.msg_id)


def test_at_most_so_many_run_at_once(root: Root) -> None:
    tasks = backends.in_files(root, workers=2)
    running, most = [0], [0]
    lock = threading.Lock()
    gate = threading.Barrier(2)

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(20)
        with lock:
            running[0] -= 1

    for task in [tasks.submit(work) for _ in range(6)]:
        task.result(20)
    assert most == [2]
    tasks.close()


def test_what_has_not_begun_can_be_cancelled(tasks: TaskDatabase) -> None:
    never: Future[None] = Future()
    task = tasks.submit(add, 1, needs=[never])
    assert task.cancel()
    assert tasks.wait([task.msg_id], 0)
    record: Any = tasks.get_record(task.msg_id)
    assert record["completed"] is not None
    assert record["result_content"]["status"] == "aborted"
    never.cancel()
    assert task.cancel()
    assert tasks.get_record(task.msg_id) == record
    with pytest.raises(CancelledError):
        task.result(0)
    with pytest.raises(TaskFailedError, match="CancelledError"):
        tasks.get_result(task.msg_id)


def test_what_waits_for_a_thread_is_recorded_as_cancelled_at_once(root: Root) -> None:
    tasks = backends.in_files(root, workers=1)
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(20)

    first = tasks.submit(work)
    queued = tasks.submit(fail, "it ran")
    needing = tasks.submit(fail, "it ran", needs=queued)
    assert begun.wait(20)
    assert not first.cancel()
    assert queued.cancel()
    assert backends.in_files(root).wait([queued.msg_id, needing.msg_id], 0)
    go.set()
    first.result(20)
    tasks.close()
    status = [each["result_content"]["status"] for each in tasks.db_query({})]  # type: ignore[index, call-overload]
    assert sorted(status) == ["aborted", "error", "ok"]


def test_a_forked_child_that_closes_cancels_nothing_of_its_parent(cache: Cache) -> None:
    go: Future[None] = Future()
    task = cache.tasks.submit(add, 1, needs=[go])
    in_child(cache.close)
    assert cache.tasks.count({"completed": None}) == 1
    go.set_result(None)
    assert task.result(20) == 2


def test_closing_waits_for_what_runs_and_cancels_the_rest(root: Root) -> None:
    tasks = backends.in_files(root, workers=1)
    begun, go = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go.wait(20)
        return "done"

    first = tasks.submit(work)
    second = tasks.submit(add, 1)
    assert begun.wait(20)
    closing = threading.Thread(target=tasks.close)
    closing.start()
    go.set()
    closing.join(20)
    assert first.result(0) == "done"
    assert second.cancelled()
    assert backends.in_files(root).count({"completed": None}) == 0


def test_a_record_dropped_meanwhile_does_not_harm_its_task(tasks: TaskDatabase) -> None:
    go: Future[None] = Future()
    task = tasks.submit(add, 1, needs=[go])
    tasks.drop_record(task.msg_id)
    go.set_result(None)
    assert task.result(20) == 2


# -- needs --------------------------------------------------------------------------------------------


def test_a_task_runs_when_the_last_of_its_needs_is_met(tasks: TaskDatabase) -> None:
    needs: list[Future[None]] = [Future() for _ in range(3)]
    task = tasks.submit(add, 1, needs=needs)
    for need in needs:
        record = tasks.get_record(task.msg_id)
        assert (record["started"], task.done()) == (None, False)
        need.set_result(None)
    assert task.result(20) == 2


def test_a_task_whose_need_fails_is_not_run(tasks: TaskDatabase) -> None:
    needs: list[Future[None]] = [Future() for _ in range(3)]
    task = tasks.submit(fail, "it ran", needs=needs)
    needs[1].set_exception(OSError("gone"))
    with pytest.raises(NeedFailedError, match="gone") as caught:
        task.result(20)
    assert isinstance(caught.value.__cause__, OSError)
    needs[0].set_result(None)
    needs[2].cancel()
    record: Any = tasks.get_record(task.msg_id)
    assert record["started"] is None
    assert record["error"]["ename"] == "NeedFailedError"
    with pytest.raises(NeedFailedError):
        tasks.submit(add, 1, needs=["a name"]).result(20)  # nobody here could provide it


def test_one_need_is_one_not_its_letters(cache: Cache) -> None:
    task = cache.tasks.submit(add, 1, needs="calibrated")
    assert cache.tasks.get_record(task.msg_id)["content"] == {
        "function": f"{__name__}:add",
        "needs": ["calibrated"],
    }
    cache.met("calibrated")
    assert task.result(20) == 2
    assert cache.tasks.submit(add, 10, needs=task).result(20) == 11


@pytest.mark.parametrize("needs", [[5], 5, [None], None, b"name", ["a", ["b"]]])
def test_what_is_no_need_is_refused_and_nothing_recorded(tasks: TaskDatabase, needs: Any) -> None:
    with pytest.raises(TypeError):
        tasks.submit(add, 1, needs=needs)
    assert tasks.count({}) == 0


def test_a_task_may_need_another(tasks: TaskDatabase) -> None:
    first = tasks.submit(add, 1)
    second = tasks.submit(add, 10, needs=[first])
    assert second.result(20) == 11
    content: Any = tasks.get_record(second.msg_id)["content"]
    (need,) = content["futures"]
    assert first.msg_id in need
    assert content["needs"] == []


def test_a_need_may_be_a_url(cache: Cache, tmp_path: Path) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_bytes(b"bytes")
    url = there.as_uri()
    task = cache.tasks.submit(lambda: cache.lookup(url), needs=[url])
    path = task.result(20)
    assert path is not None
    assert path.read_bytes() == b"bytes"
    assert cache.tasks.submit(add, 1, needs=[url]).result(20) == 2
    with pytest.raises(NeedFailedError, match="missing"):
        cache.tasks.submit(add, 1, needs=[missing.as_uri()]).result(20)


def test_a_need_may_be_a_precondition_that_another_process_meets(cache: Cache) -> None:
    path = cache.root.path
    ran: list[int] = []
    first = cache.tasks.submit(add, 1, needs=["calibrated"])
    others = [cache.tasks.submit(ran.append, number, needs=["calibrated"]) for number in range(5)]
    assert not first.done()
    in_child(lambda: Cache(path).met("calibrated"))
    assert first.result(20) == 2
    for other in others:
        other.result(20)
    assert sorted(ran) == list(range(5))
    assert cache.tasks.submit(add, 1, needs=["calibrated"]).result(20) == 2  # stays met


def test_a_forked_child_awaits_by_itself_what_its_parent_awaits(cache: Cache) -> None:
    first = cache.tasks.submit(add, 1, needs="calibrated")

    def child() -> int:
        task = cache.tasks.submit(add, 2, needs="calibrated")
        cache.met("calibrated")
        found: int = task.result(20)
        return found

    assert in_child(child) == 3
    assert first.result(20) == 2


def test_preconditions_are_met_for_ever_and_awaited_without_a_server(cache: Cache) -> None:
    assert cache.wait_met(["a", "b"], 0) == []
    cache.met("a")
    cache.met("a")
    assert cache.wait_met(["a", "b"], 0.05) == ["a"]
    threading.Timer(0.05, cache.met, ["b"]).start()
    assert cache.wait_met(["b", "a"], 20) == ["b", "a"]
    assert Cache(cache.root.path).wait_met(["a"], 0) == ["a"]
    for bad in ("", "x" * 600, "line\n", None):
        with pytest.raises(InvalidPreconditionError):
            cache.met(bad)  # type: ignore[arg-type]


def test_a_closed_cache_waits_for_no_precondition(cache: Cache) -> None:
    task = cache.tasks.submit(add, 1, needs=["never"])
    cache.close()
    assert task.cancelled()


# -- other processes --------------------------------------------------------------------------------


def test_a_result_is_had_by_a_process_that_did_not_submit_it(cache: Cache) -> None:
    path = cache.root.path
    big = os.urandom(300_000)
    task = cache.tasks.submit(add, big, b"!")
    bad = cache.tasks.submit(fail, "no luck")
    assert in_child(lambda: Cache(path).tasks.get_result(task.msg_id, 20)) == big + b"!"
    with pytest.raises(ValueError, match="no luck"):
        in_child(lambda: Cache(path).tasks.get_result(bad.msg_id, 20))
    with pytest.raises(NoSuchTaskError):
        in_child(lambda: Cache(path).tasks.get_result("none", 20))


PICKY = """
class PickyError(Exception):
    '''Pickles, and does not load: its pickle calls it with one argument.'''

    def __init__(self, what, number):
        super().__init__(f"{what} {number}")

def pick():
    raise PickyError("row", 5)
"""
FAILED = """
import sys
import fscache
from fscache.errors import TaskFailedError
from picky import PickyError, pick

tasks = fscache.Cache(sys.argv[1]).tasks
task = tasks.submit(pick)
assert isinstance(task.exception(20), PickyError)
try:
    tasks.get_result(task.msg_id, 20)
except TaskFailedError as exc:
    print(exc, exc.traceback)
"""


def test_of_an_exception_that_does_not_load_what_is_recorded_is_raised(tmp_path: Path) -> None:
    """In a process of its own: who imports Dask pickles exceptions otherwise, and this one loads."""
    (tmp_path / "picky.py").write_text(PICKY)
    done = subprocess.run(
        [sys.executable, "-c", FAILED, str(tmp_path / "cache")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PickyError: row 5" in done.stdout
    assert "in pick" in done.stdout


def test_a_function_of_a_program_is_not_found_by_another(cache: Cache) -> None:
    code = (
        "import fscache, sys\n"
        "def f(): return 1\n"
        "print(fscache.Cache(sys.argv[1]).tasks.submit(f).msg_id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, cache.root.path], capture_output=True, text=True, check=True
    )
    with pytest.raises(ResultUnavailableError, match="put it into a module"):
        cache.tasks.resubmit(done.stdout.strip())


def test_waiting_is_no_busy_loop_and_ends_with_the_task(
    cache: Cache, tmp_path: Path, until: Until
) -> None:
    path, gate, answer = cache.root.path, str(tmp_path / "gate"), str(tmp_path / "answer")
    task = cache.tasks.submit(hold, gate)
    until(lambda: cache.tasks.get_record(task.msg_id)["started"] is not None)

    def wait() -> None:
        tasks: Any = Cache(path).tasks
        looks = []
        refresh = tasks._core.refresh
        tasks._core.refresh = lambda: looks.append(time.monotonic()) or refresh()
        result = tasks.get_result(task.msg_id, 60)
        with open(f"{answer}.new", "w", encoding="utf-8") as file:
            file.write(f"{result} {len(looks)} {len(looks) / (looks[-1] - looks[0]):f}")
        os.rename(f"{answer}.new", answer)
        while True:
            time.sleep(1)

    pid = start(wait)
    try:
        until(lambda: os.path.isdir(f"{path}/tasks/waiting"), "somebody waits")
        time.sleep(1.5)  # what it does meanwhile is what is tested
        assert not os.path.exists(answer)
        open(gate, "w", encoding="utf-8").close()
        until(lambda: os.path.exists(answer), "the waiting process has the result")
        with open(answer, encoding="utf-8") as file:
            result, looks, rate = file.read().rsplit(" ", 2)
    finally:
        reap(pid)
    assert result == "went on"
    assert int(looks) < 30, f"{rate} looks a second"
    until(lambda: not os.path.isdir(f"{path}/tasks/waiting"), "nothing of it is left")


def test_a_waiting_process_that_is_killed_leaves_nothing_in_the_way(
    cache: Cache, until: Until
) -> None:
    path = cache.root.path
    go: Future[None] = Future()
    task = cache.tasks.submit(add, 1, needs=[go])
    pid = start(lambda: Cache(path).tasks.get_result(task.msg_id))
    until(lambda: os.path.isdir(f"{path}/tasks/waiting"), "somebody waits")
    reap(pid)
    go.set_result(None)
    assert task.result(20) == 2
    assert os.listdir(f"{path}/tasks/waiting") == []


def test_waiting_has_an_end(tasks: TaskDatabase) -> None:
    tasks.add_record("pending", {})
    own: Future[None] = Future()
    for msg_id in ("pending", tasks.submit(add, 1, needs=own).msg_id):
        with pytest.raises(TimeoutError, match=f"task {msg_id} has not completed after 0.1 s"):
            tasks.get_result(msg_id, 0.1)
    own.set_result(None)
    assert not tasks.wait(["pending"], 0.1)
    with pytest.raises(NoSuchTaskError):
        tasks.wait(["none"])
    threading.Timer(0.05, tasks.drop_record, ["pending"]).start()
    with pytest.raises(NoSuchTaskError):
        tasks.wait(["pending"], 20)


def test_foreign_results_are_not_taken_for_ours(tasks: TaskDatabase, clock: Clock) -> None:
    from fscache.tasks.model import to_datetime

    done = {"completed": to_datetime(int(clock.now * 1e6))}
    tasks.add_record(
        "foreign", {**done, "result_content": {"status": "ok"}, "result_buffers": [b"x"]}
    )
    with pytest.raises(ResultUnavailableError):
        tasks.get_result("foreign")
    error = {"status": "error", "ename": "E", "evalue": "v", "traceback": ["a", "b"]}
    tasks.add_record("failed", {**done, "result_content": error})
    with pytest.raises(TaskFailedError, match="E: v") as caught:
        tasks.get_result("failed")
    assert caught.value.traceback == "a\nb"


def test_the_pickle_of_another_user_is_not_loaded(users: None, open_tmp: str) -> None:
    path = f"{open_tmp}/root"
    Root(path, now=time.time).ensure()
    for directory, _, _ in os.walk(path):
        os.chmod(directory, 0o777)  # everybody may write to it

    def submit() -> str:
        with Cache(path) as cache:
            task = cache.tasks.submit(add, 1)
            task.result(20)
            return task.msg_id

    def load(msg_id: str, *, trust: bool) -> Any:
        return Cache(path).tasks.get_result(msg_id, 20, trust=trust)

    msg_id = in_child(submit, uid=ALICE)
    assert in_child(lambda: load(msg_id, trust=False), uid=ALICE) == 2
    with pytest.raises(ResultUnavailableError, match="another user"):
        in_child(lambda: load(msg_id, trust=False), uid=BOB)
    with pytest.raises(ResultUnavailableError, match="another user"):
        in_child(lambda: Cache(path).tasks.resubmit(msg_id), uid=BOB)
    assert in_child(lambda: load(msg_id, trust=True), uid=BOB) == 2


# -- again ----------------------------------------------------------------------------------------------


def test_resubmitting_makes_a_new_task_that_the_old_record_names(cache: Cache) -> None:
    path = cache.root.path
    first = cache.tasks.submit(add, b"x" * 100_000, b"y", label="again")
    first.result(20)

    def again() -> tuple[str, int]:
        with Cache(path) as other:
            task = other.tasks.resubmit(first.msg_id)
            return task.msg_id, len(task.result(20))

    msg_id, size = in_child(again)
    assert size == 100_001
    assert msg_id != first.msg_id
    old: Any = cache.tasks.get_record(first.msg_id)
    new: Any = cache.tasks.get_record(msg_id)
    assert (old["resubmitted"], new["resubmitted"]) == (msg_id, None)
    assert (new["label"], new["content"]) == ("again", old["content"])
    assert new["header"]["msg_id"] == msg_id
    assert list(new["buffers"]) == list(old["buffers"])
    assert new["submitted"] > old["submitted"]
    third, fourth = cache.tasks.resubmit([first.msg_id, msg_id])
    assert third.result(20) == fourth.result(20)
    assert len({first.msg_id, msg_id, third.msg_id, fourth.msg_id}) == 4


def test_a_resubmitted_task_waits_for_names_and_for_no_future_of_another_process(
    cache: Cache,
) -> None:
    path = cache.root.path
    first = cache.tasks.submit(add, 1)
    second = cache.tasks.submit(add, 10, needs=[first, "calibrated"])

    def again() -> int:
        with Cache(path) as other:
            task = other.tasks.resubmit(second.msg_id)
            with pytest.raises(TimeoutError):
                task.result(0)
            other.met("calibrated")
            found: int = task.result(20)
            return found

    assert in_child(again) == 11
    assert second.result(20) == 11


def test_what_was_not_submitted_here_is_not_resubmitted(tasks: TaskDatabase) -> None:
    tasks.add_record("foreign", {"content": {}, "buffers": [b"x"]})
    for msg_id, error in (("foreign", ResultUnavailableError), ("none", NoSuchTaskError)):
        with pytest.raises(error):
            tasks.resubmit(msg_id)
    assert tasks.count({}) == 1


def test_what_somebody_else_has_recorded_ends_in_a_typed_error(tasks: TaskDatabase) -> None:
    content: dict[str, Any] = {"function": "f"}
    call = pickle.dumps((add, (1,), {}))
    tasks.add_record("needs", {"content": content | {"needs": [5]}, "buffers": [call]})
    tasks.add_record("call", {"content": content, "buffers": [pickle.dumps(5)]})
    with pytest.raises(ResultUnavailableError, match="a need is a URL"):
        tasks.resubmit("needs")
    task = tasks.resubmit("call")
    assert isinstance(task.exception(20), TypeError)
    assert tasks.wait([task.msg_id], 20)
    done = {"completed": datetime.now(UTC), "result_content": "text", "result_metadata": 5}
    tasks.add_record("result", done)
    with pytest.raises(ResultUnavailableError):
        tasks.get_result("result")


def test_a_tasks_own_timeout_is_raised_as_it_is(tasks: TaskDatabase) -> None:
    gate: Future[None] = Future()
    task = tasks.submit(late, needs=gate)
    threading.Timer(0.05, gate.set_result, [None]).start()
    with pytest.raises(TimeoutError, match="of its own"):
        tasks.get_result(task.msg_id, 20)


def test_a_child_forked_while_a_task_ends_submits_and_closes(cache: Cache) -> None:
    assert cache.tasks.submit(add, 1).result(20) == 2

    def child() -> int:
        found: int = cache.tasks.submit(add, 2).result(20)
        cache.close()
        return found

    with cache.tasks._executor._lock:  # as a thread has it for a moment
        assert in_child(child) == 3


def test_a_forked_child_submits_by_itself(cache: Cache) -> None:
    assert cache.tasks.submit(add, 1).result(20) == 2

    def child() -> tuple[int, str]:
        task = cache.tasks.submit(add, 2)
        return task.result(20), task.msg_id

    result, msg_id = in_child(child)
    assert result == 3
    assert cache.tasks.get_result(msg_id) == 3
