from __future__ import annotations

import concurrent.futures
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache.errors import (
    HostDied,
    NoServersError,
    ProxyReleasedError,
    ServiceEndedError,
    UnknownServiceError,
)
from fscache.grid import tls
from fscache.grid.services import call_on
from tests.support.gridwork import Counter, grid, is_running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.grid import Grid


@pytest.fixture
def service(two: Grid) -> Iterator[str]:
    name = two.publish(Counter(10), wait="all")
    yield name
    if any(known["service"] == name for known in two.services()):
        two.terminate(name)


def end(gate: str, *names: str) -> None:
    for name in names:
        with open(f"{gate}/{name}.end", "w"):
            pass


def began(gate: str, name: str) -> bool:
    # With its word in it: the file is there a moment earlier, and a kill might come in between.
    path = f"{gate}/{name}.began"
    return os.path.exists(path) and os.path.getsize(path) > 0


# -- calls ----------------------------------------------------------------------------------------


def test_every_host_has_a_copy_in_its_own_process(two: Grid, service: str) -> None:
    pids = two.gather(two.broadcast(service, "pid"))
    assert sorted(pids) == sorted(worker.pid for worker in two.workers())
    assert os.getpid() not in pids


def test_calls_return_futures_at_once_and_run_in_order_on_one_server(
    two: Grid, service: str
) -> None:
    with two.acquire_service(service) as proxy:
        results = [proxy.note(number) for number in range(2000)]
        assert proxy.noted().get() == list(range(2000))
        assert all(result.done() for result in results)
        assert len({proxy.pid().get() for _ in range(5)}) == 1


def test_arguments_keywords_and_results_are_what_they_were(two: Grid, service: str) -> None:
    with two.acquire_service(service) as proxy:
        assert proxy.add(5, times=3).get() == 25
        changed = [1]
        result = proxy.echo(changed)
        changed.append(2)
        assert result.get() == [1]  # as they were when it was called
        big = os.urandom(3 << 20)
        assert proxy.echo(big).get() == big


def test_calls_from_many_threads_all_arrive(two: Grid, service: str) -> None:
    with two.acquire_service(service) as proxy, concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(proxy.echo, range(400)))
        assert [result.get() for result in results] == list(range(400))


def test_an_object_that_can_be_called_is_called(two: Grid, service: str) -> None:
    with two.acquire_service(service) as proxy:
        assert proxy(5).get() == 15
        assert call_on(proxy, "echo", 1).get() == 1


def test_attributes_are_read_and_written_over_there_in_order(two: Grid, service: str) -> None:
    with two.acquire_service(service) as proxy:
        proxy.add(1)
        assert proxy.count == 11
        proxy.count = 100
        assert proxy.add(1).get() == 101
        assert proxy.unit == "beans"
        with pytest.raises(AttributeError):
            _ = proxy.nothing
        assert {"add", "echo"} <= set(dir(proxy))


def test_an_exception_keeps_its_type_and_brings_its_traceback(two: Grid, service: str) -> None:
    with two.acquire_service(service) as proxy:
        result = proxy.fail("no such key")
        with pytest.raises(KeyError, match="no such key"):
            result.get()
        assert "raise KeyError(text)" in str(result.exception().__cause__)
        assert proxy.add().get() == 11  # the server is none the worse


def test_a_result_times_out_and_can_be_waited_for_again(two: Grid, service: str, gate: str) -> None:
    with two.acquire_service(service) as proxy:
        result = proxy.wait(gate, "slow")
        with pytest.raises(TimeoutError):
            result.get(timeout=0.05)
        assert not result.done()
        heard: list[Any] = []
        told = threading.Event()
        result.add_done_callback(lambda each: (heard.append(each.result()), told.set()))
        end(gate, "slow")
        assert result.get(timeout=10) == "slow"
        assert told.wait(10)
        assert heard == ["slow"]
        assert result.exception() is None
        assert result.cancel() is False


def test_a_callback_may_wait_for_other_calls(two: Grid, service: str, gate: str) -> None:
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with two.acquire_service(service) as proxy:

        def ended(result: Any) -> None:
            heard.put([result.result(), proxy.unit, proxy.echo(2).get(), two.stats(service) != []])

        waiting = proxy.wait(gate, "call")
        waiting.add_done_callback(ended)
        with open(f"{gate}/call.end", "w"):
            pass
        assert heard.get(timeout=10) == ["call", "beans", 2, True]
        waiting.add_done_callback(heard.put)  # it has ended long ago
        assert heard.get(timeout=10) is waiting


def test_two_services_on_one_host_run_at_the_same_time(two: Grid, gate: str) -> None:
    where = [two.workers()[0].name]
    first, second = (two.publish(Counter(), hosts=where) for _ in range(2))
    with two.acquire_service(first) as one, two.acquire_service(second) as other:
        waiting = one.wait(gate, "one")
        assert other.echo("runs meanwhile").get(timeout=10) == "runs meanwhile"
        end(gate, "one")
        assert waiting.get(timeout=10) == "one"
    two.terminate(first)
    two.terminate(second)


# -- acquiring and releasing ----------------------------------------------------------------------


def test_acquire_waits_while_all_are_busy_and_says_so_in_time(two: Grid, service: str) -> None:
    proxies = [two.acquire_service(service) for _ in range(2)]
    with pytest.raises(TimeoutError, match="busy"):
        two.acquire_service(service, timeout=0.05)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(two.acquire_service, service, 20)
        until(lambda: two.service(service)["waiting"] == 1, "the third to wait")
        two.release_service(proxies[0])
        two.release_service(waiting.result(timeout=20))
    two.release_service(proxies[1])


def test_who_was_interrupted_while_waiting_is_not_served(two: Grid, service: str) -> None:
    held = two.acquire_all(service)
    # From another thread, as soon as the head has it in its queue; it comes to this one.
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        until(lambda: two.service(service)["waiting"] == 1, "the question to arrive")
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        two.acquire_service(service)
    thread.join()
    until(lambda: two.service(service)["waiting"] == 0, "its place in the queue to be free")
    for proxy in held:
        two.release_service(proxy)
    for proxy in two.acquire_all(service, timeout=5):
        two.release_service(proxy)


def test_a_publish_that_is_interrupted_leaves_no_service(two: Grid, gate: str) -> None:
    def loader() -> Counter:
        with open(f"{gate}/began", "w"):
            pass
        until(lambda: os.path.exists(f"{gate}/end"), "the end")
        return Counter()

    main = threading.main_thread().ident
    assert main is not None
    before = two.services()

    def interrupt() -> None:
        until(lambda: os.path.exists(f"{gate}/began"), "the first copy to be made")
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        two.publish(loader=loader)
    thread.join()
    with open(f"{gate}/end", "w"):
        pass
    until(lambda: two.services() == before, "the service to go")


def test_a_release_without_calls_frees_the_server_at_once(two: Grid, service: str) -> None:
    for _ in range(5):  # more often than there are servers
        two.release_service(two.acquire_service(service, timeout=10))
        with two.acquire_service(service, timeout=10) as proxy:
            proxy.echo(1).get()


def test_a_release_takes_effect_when_the_last_call_ends_not_the_first(
    two: Grid, service: str, gate: str
) -> None:
    held = two.acquire_service(service)
    proxy = two.acquire_service(service)
    first, last = proxy.wait(gate, "first"), proxy.wait(gate, "last")
    two.release_service(proxy)
    end(gate, "first")
    assert first.get(timeout=10) == "first"
    with pytest.raises(TimeoutError):
        two.acquire_service(service, timeout=0.1)
    end(gate, "last")
    assert last.get(timeout=10) == "last"
    two.release_service(two.acquire_service(service, timeout=10))
    two.release_service(held)


def test_a_released_proxy_cannot_be_used(two: Grid, service: str) -> None:
    proxy = two.acquire_service(service)
    two.release_service(proxy)
    two.release_service(proxy)  # twice is as once
    with pytest.raises(ProxyReleasedError):
        proxy.echo(1)
    with pytest.raises(ProxyReleasedError):
        _ = proxy.count


def test_waiters_are_served_in_the_order_of_asking(two: Grid, service: str) -> None:
    proxies = [two.acquire_service(service) for _ in range(2)]
    order: list[int] = []

    def acquire(number: int) -> None:
        with two.acquire_service(service, timeout=20):
            order.append(number)

    threads = []
    for number in range(4):
        threads.append(threading.Thread(target=acquire, args=(number,)))
        threads[-1].start()
        until(lambda: two.service(service)["waiting"] == len(threads), "one more to wait")
    two.release_service(proxies[0])
    for thread in threads:
        thread.join(20)
    two.release_service(proxies[1])
    assert order == [0, 1, 2, 3]


CLIENT = """
import sys, json
from fscache import Cache
from fscache.grid import Grid
from fscache.grid.tls import KeyPair
address, pair, root, name, what = json.loads(sys.argv[1])
grid = Grid(address, tls=KeyPair(*pair), cache=Cache(root))
proxies = grid.acquire_all(name)
print(proxies[0].echo("from another process").get(), flush=True)
if what == "hold":
    sys.stdin.read()
grid.close()
"""


def other_client(two: Grid, pair: tls.KeyPair, name: str, what: str) -> subprocess.Popen[str]:
    import json

    words = [two.cluster.address, list(pair), two.cache.root.path, name, what]
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, json.dumps(words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Grid, tls.KeyPair]]:
    """A grid whose certificates are known, so that other programs can join it."""
    pair = tls.temporary()
    with grid(str(tmp_path_factory.mktemp("shared")), 2, tls=pair) as made:
        yield made, pair


def test_another_process_finds_the_service_by_name_and_its_death_frees_what_it_held(
    shared: tuple[Grid, tls.KeyPair],
) -> None:
    two, pair = shared
    service = two.publish(Counter(), name="by name", wait="all")
    client = other_client(two, pair, "by name", "hold")
    assert client.stdout is not None
    assert client.stdin is not None
    assert client.stdout.readline() == "from another process\n"
    with pytest.raises(TimeoutError):
        two.acquire_service(service, timeout=0.05)  # it holds both
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(two.acquire_service, service, 20)
        until(lambda: two.service(service)["waiting"] == 1, "a waiter")
        client.kill()
        with waiting.result(timeout=20) as proxy:
            assert proxy.echo(1).get(timeout=10) == 1
    client.wait()
    client.stdout.close()
    client.stdin.close()
    two.terminate(service)


def test_processes_take_turns_in_the_order_of_asking(shared: tuple[Grid, tls.KeyPair]) -> None:
    two, pair = shared
    service = two.publish(Counter(), name="turns", wait="all")
    held = two.acquire_all(service)
    client = other_client(two, pair, "turns", "go")
    until(lambda: two.service(service)["waiting"] == 1, "the other process to wait")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        mine = pool.submit(two.acquire_service, service, 20)
        until(lambda: two.service(service)["waiting"] == 2, "this one behind it")
        for proxy in held:
            two.release_service(proxy)
        said, _ = client.communicate(timeout=20)
        two.release_service(mine.result(timeout=20))
    assert said == "from another process\n"
    two.terminate(service)


def test_acquire_all_takes_all_and_two_of_them_do_not_lock_each_other(
    two: Grid, service: str
) -> None:
    def turn(_number: int) -> int:
        proxies = two.acquire_all(service, timeout=20)
        assert len(two.gather([proxy.pid() for proxy in proxies])) == 2
        for proxy in proxies:
            two.release_service(proxy)
        return len(proxies)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(turn, range(12))) == [2] * 12


# -- all hosts at once ----------------------------------------------------------------------------


def test_state_stays_on_its_server_and_servers_keep_their_order(two: Grid, service: str) -> None:
    two.gather(two.scatter(service, "add", [[1], [2]]))
    assert two.gather(two.scatter(service, "add", [[1], [2]], [{"times": 10}, {}])) == [21, 14]
    assert two.gather(two.broadcast(service, "add", 0)) == [21, 14]
    assert two.gather(two.scatter(service, "add", [[5]])) == [26]


def test_surplus_arguments_are_refused_not_dropped(two: Grid, service: str) -> None:
    with pytest.raises(ValueError, match="3 arguments"):
        two.scatter(service, "add", [[1], [2], [3]])
    with pytest.raises(ValueError, match="keywords"):
        two.scatter(service, "add", [[1], [2]], [{}])
    assert two.gather(two.broadcast(service, "add", 0)) == [10, 10]


def test_a_broadcast_does_not_wait_for_who_holds_a_server(two: Grid, service: str) -> None:
    with two.acquire_service(service):
        assert two.gather(two.broadcast(service, "echo", 1), timeout=10) == [1, 1]


def test_gather_times_out(two: Grid, service: str, gate: str) -> None:
    with two.acquire_service(service) as proxy:
        results = [proxy.wait(gate, "g")]
        with pytest.raises(TimeoutError, match="1 of 1"):
            two.gather(results, timeout=0.05)
        end(gate, "g")
        assert two.gather(results, timeout=10) == ["g"]


# -- publishing and terminating -------------------------------------------------------------------


def test_one_object_published_twice_is_two_services(two: Grid) -> None:
    thing = Counter()
    first, second = two.publish(thing), two.publish(thing)
    assert first != second
    with two.acquire_service(first) as one, two.acquire_service(second) as other:
        one.add(5).get()
        assert other.count == 0
    two.terminate(first)
    two.terminate(second)


def test_a_loader_makes_the_object_over_there(two: Grid) -> None:
    made_in = os.getpid()

    def loader() -> Counter:
        assert os.getpid() != made_in
        return Counter(7)

    service = two.publish(loader=loader, name="loaded", wait="all")
    with two.acquire_service("loaded") as proxy:
        assert proxy.count == 7
    two.terminate(service)


def test_what_is_published_is_an_instance_or_what_makes_it(two: Grid) -> None:
    before = two.services()
    with pytest.raises(TypeError, match="what is to be published"):
        two.publish()
    with pytest.raises(TypeError, match="what is to be published"):
        two.publish(Counter(), loader=Counter)
    assert two.services() == before


def test_hosts_that_cannot_make_it_are_reported(two: Grid) -> None:
    good = two.workers()[0].pid

    def loader() -> Counter:
        if os.getpid() != good:
            raise OSError("no licence here")
        return Counter()

    service = two.publish(loader=loader, wait="all")
    known = two.service(service)
    assert len(known["servers"]) == 1
    assert list(known["failed"].values()) == ["OSError: no licence here"]
    two.terminate(service)


def test_a_publish_that_no_host_can_do_raises_and_leaves_nothing(two: Grid) -> None:
    def loader() -> None:
        raise OSError("nowhere")

    with pytest.raises(NoServersError, match="nowhere"):
        two.publish(loader=loader, name="nowhere")
    with pytest.raises(UnknownServiceError):
        two.acquire_service("nowhere")
    with pytest.raises(NoServersError, match="no such worker or host: mars"):
        two.publish(Counter(), hosts=["mars"])


def test_terminate_ends_that_service_only_and_wakes_who_waits(
    two: Grid, service: str, gate: str
) -> None:
    doomed = two.publish(Counter(), wait="all")
    held = two.acquire_all(doomed)
    running = held[0].wait(gate, "running")
    until(lambda: began(gate, "running"), "the call to begin")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(two.acquire_service, doomed)
        until(lambda: two.service(doomed)["waiting"] == 1, "a waiter")
        assert two.terminate(doomed) == 1
        assert two.terminate(doomed) == 0
        with pytest.raises(ServiceEndedError):
            waiting.result(timeout=10)
    with pytest.raises(ServiceEndedError):
        running.get(timeout=10)
    with pytest.raises(ServiceEndedError):
        held[1].echo(1).get(timeout=10)
    with pytest.raises(UnknownServiceError):
        two.acquire_service(doomed)
    end(gate, "running")
    with two.acquire_service(service) as proxy:
        assert proxy.echo("still here").get() == "still here"


def test_stats_are_of_each_server_and_of_its_own_calls(two: Grid, service: str) -> None:
    with two.acquire_service(service) as proxy:
        for _ in range(60):
            proxy.echo(1)
        with pytest.raises(KeyError):
            proxy.fail("x").get()
        stats = two.stats(service)
        busy = [row for row in stats if row["acquired"]]
        assert len(busy) == 1
        row = busy[0]
        assert (row["jobs"], row["calls"], row["failures"]) == (1, 61, 1)
        assert len(row["durations"]) == 50
        assert 0 < row["mean"] < 1
        assert row["last_error"] == "KeyError: 'x'"
        assert row["pid"] == proxy.pid().get()
        assert row["host"] == two.workers()[0].host
    idle = [row for row in stats if not row["acquired"]]
    assert (idle[0]["jobs"], idle[0]["calls"], idle[0]["mean"]) == (0, 0, None)


def test_debug_can_be_switched_at_run_time(two: Grid, service: str) -> None:
    assert two._crew is not None
    logs = two._crew.logs

    def said() -> str:
        return "".join(Path(log).read_text() for log in logs)

    two.set_debug(True, verbose=True)
    with two.acquire_service(service) as proxy:
        proxy.echo(1).get()
    until(lambda: "Counter.echo" in said(), "the call in a log")
    two.set_debug(False)
    with two.acquire_service(service) as proxy:
        proxy.note(1).get()
    assert "Counter.note" not in said()


def test_a_grid_that_is_closed_is_halted_and_leaves_no_process(tmp_path: Any) -> None:
    with grid(str(tmp_path), 1) as made:
        pids = [worker.pid for worker in made.workers()]
        assert not made.ishalted()
        made.publish(Counter())
    assert made.ishalted()
    made.close()  # twice is as once
    until(lambda: not any(map(is_running, pids)), "the worker to end")


def test_a_grid_leaves_nothing_behind_though_its_end_goes_wrong(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate() -> None:
        raise RuntimeError("gone wrong")

    with pytest.raises(RuntimeError, match="gone wrong"), grid(str(tmp_path), 1) as made:  # noqa: PT012 - the end is what raises
        pids = [worker.pid for worker in made.workers()]
        assert made._crew is not None
        logs = made._crew.logs
        monkeypatch.setattr(made, "terminate", terminate)
    until(lambda: not any(map(is_running, pids)), "the worker to end")
    assert not any(map(os.path.exists, logs))


def test_a_result_is_not_pickled_by_mistake(two: Grid, service: str) -> None:
    with two.acquire_service(service) as proxy, pytest.raises(TypeError):
        pickle.dumps(proxy)


# -- death ----------------------------------------------------------------------------------------


def test_a_killed_worker_ends_its_calls_with_host_died_and_runs_none_twice(
    tmp_path: Any, gate: str
) -> None:
    with grid(str(tmp_path), 2) as made:
        service = made.publish(Counter(), wait="all")
        proxies = made.acquire_all(service)
        results = [proxies[0].wait(gate, "once"), proxies[0].echo(1), proxies[0].add()]
        until(lambda: began(gate, "once"), "the call to begin")
        os.kill(proxies[0]._hold.server["pid"], 9)
        for result in results:
            with pytest.raises(HostDied) as caught:
                result.get(timeout=5)
            assert caught.value.host == made.service(service)["servers"][0]["host"]
        with pytest.raises(HostDied):
            proxies[0].echo(1).get(timeout=5)
        assert Path(gate, "once.began").read_text() == "x"
        # The others go on, and the dead one is not handed out again.
        assert proxies[1].echo(2).get(timeout=5) == 2
        for proxy in proxies:
            made.release_service(proxy)
        for _ in range(4):
            with made.acquire_service(service, timeout=5) as proxy:
                assert proxy.pid().get(timeout=5) == proxies[1]._hold.server["pid"]


def test_who_waits_for_a_service_whose_last_host_dies_is_told(tmp_path: Any) -> None:
    with grid(str(tmp_path), 1) as made:
        service = made.publish(Counter())
        proxy = made.acquire_service(service)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(made.acquire_service, service)
            until(lambda: made.service(service)["waiting"] == 1, "a waiter")
            proxy.die()
            with pytest.raises(NoServersError):
                waiting.result(timeout=10)
        with pytest.raises(NoServersError):
            made.acquire_service(service)


def test_an_idempotent_service_runs_calls_again_elsewhere_in_order(
    tmp_path: Any, gate: str
) -> None:
    with grid(str(tmp_path), 2) as made:
        service = made.publish(Counter(), wait="all", idempotent=True)
        with made.acquire_service(service) as proxy:
            victim = proxy.pid().get()
            results = [proxy.wait(gate, "again"), *(proxy.note(n) for n in range(20))]
            until(lambda: began(gate, "again"), "the call to begin")
            os.kill(victim, 9)
            end(gate, "again")
            assert results[0].get(timeout=20) == "again"
            assert proxy.noted().get(timeout=20) == list(range(20))
            assert proxy.pid().get() != victim


def test_a_server_that_died_comes_back_as_it_was_published(tmp_path: Any) -> None:
    with grid(str(tmp_path), 1) as made:
        service = made.publish(Counter(5), respawn=True)
        with made.acquire_service(service) as proxy:
            proxy.add(100).get()
            with pytest.raises(HostDied):
                proxy.die().get(timeout=5)
        with made.acquire_service(service, timeout=30) as proxy:
            assert proxy.count == 5  # the published state, not the lost one
