"""Key-values under `kill -9`: eight writers, one reader, nothing torn, nothing acknowledged lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.cache import Cache
from fscache.kv.local import LocalStore
from fscache.records.root import Root
from tests.support.kv import Ledger, described, judge, kill_at_random

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.crash

WRITERS = 8
SHARED = ["shared-0", "shared-1"]
SIZES = [0, 10, 5000, 70_000]  # in an entry, over a page, as an object


@pytest.fixture
def ledgers(tmp_path: Path) -> str:
    os.mkdir(tmp_path / "ledgers")
    return str(tmp_path / "ledgers")


def collide(name: bytes) -> str:
    """One address for all."""
    return "c0111de0" + "0" * 12


@pytest.fixture(params=["hashed", "colliding", "power"])
def open_kv(request: pytest.FixtureRequest, root_path: str) -> Callable[[], LocalStore]:
    def opener() -> LocalStore:
        if request.param == "hashed":
            return Cache(root_path).kv
        import time

        if request.param == "power":
            return LocalStore(Root(root_path, now=time.time, durable=True))
        return LocalStore(Root(root_path, now=time.time), hash_name=collide)

    return opener


def writer_of_values(
    open_kv: Callable[[], LocalStore], ledgers: str, writer: int
) -> Callable[[], None]:
    def work() -> None:
        ledger = Ledger(ledgers, writer)
        number = 1 + max((int(line[2]) for line in ledger.lines()), default=0)
        kv = open_kv()
        while True:
            key = SHARED[number % 2] if number % 3 == 0 else f"own-{writer}-{number % 5}"
            ledger.note("intent", key, number)
            kv.put(key, described(key, writer, number, SIZES[number % len(SIZES)]))
            ledger.note("acked", key, number)
            number += 1

    return work


def reader(open_kv: Callable[[], LocalStore], keys: list[str]) -> Callable[[], None]:
    def work() -> None:
        kv = open_kv()
        latest: dict[tuple[str, int], int] = {}
        while True:
            for key in keys:
                value = kv.get(key, None)
                if value is not None:
                    writer, number = judge(key, value)
                    assert number >= latest.get((key, writer), 0), f"{key} went back in time"
                    latest[key, writer] = number

    return work


def test_no_value_is_torn_and_no_acknowledged_put_is_lost(
    open_kv: Callable[[], LocalStore], ledgers: str
) -> None:
    keys = SHARED + [f"own-{writer}-{index}" for writer in range(WRITERS) for index in range(5)]
    workers = [writer_of_values(open_kv, ledgers, writer) for writer in range(WRITERS)]
    kill_at_random([*workers, reader(open_kv, keys)], kills=40, seed=1)

    kv = open_kv()
    intents: dict[tuple[str, int], set[int]] = {}
    acked: dict[tuple[str, int], int] = {}
    for writer in range(WRITERS):
        ledger = Ledger(ledgers, writer)
        for what, key, number in ledger.lines():
            if what == "intent":
                intents.setdefault((key, writer), set()).add(int(number))
            else:
                acked[key, writer] = int(number)
        ledger.close()
    assert len(acked) > WRITERS, "nothing was written"
    for key, _ in acked:
        writer, number = judge(key, kv.get(key))
        assert number in intents[key, writer]
        assert number >= acked.get((key, writer), 0), f"an acknowledged put to {key} is lost"
    assert set(kv.keys()) >= {key for key, _ in acked}
    assert set(kv.keys()) <= {key for key, _ in intents}


def test_increments_add_up_exactly(open_kv: Callable[[], LocalStore], ledgers: str) -> None:
    """Each writer counts in six digits of its own of one number, so each can be judged."""

    def counter(writer: int) -> Callable[[], None]:
        def work() -> None:
            ledger = Ledger(ledgers, writer)
            kv = open_kv()
            while True:
                ledger.note("intent")
                kv.incr("count", 10 ** (6 * writer))
                ledger.note("acked")

        return work

    kill_at_random([counter(writer) for writer in range(WRITERS)], kills=40, seed=2)

    total = open_kv().get("count")
    counted = 0
    for writer in range(WRITERS):
        ledger = Ledger(ledgers, writer)
        lines = ledger.lines()
        ledger.close()
        acked = lines.count(["acked"])
        made = total // 10 ** (6 * writer) % 10**6
        # Whoever was killed inside may have made that one or not.
        assert acked <= made <= lines.count(["intent"]), f"writer {writer}"
        counted += made
    assert counted > WRITERS, "nothing was counted"


def test_what_a_killed_writer_left_open_is_asked_for_again_and_made_once(
    open_kv: Callable[[], LocalStore], ledgers: str
) -> None:
    def work() -> None:
        ledger = Ledger(ledgers, 0)
        kv = open_kv()
        number = max(0, len({line[1] for line in ledger.lines()}) - 1)  # it may be open
        while True:
            ledger.note("intent", number)
            kv.incr("count", once=f"t{number}")
            number += 1

    kill_at_random([work], kills=25, seed=4, pause=0.01)
    ledger = Ledger(ledgers, 0)
    numbers = {line[1] for line in ledger.lines()}
    ledger.close()
    kv = open_kv()
    kv.incr("count", once=f"t{len(numbers) - 1}")
    assert kv.get("count") == len(numbers)


def test_a_killed_writer_leaves_no_lock_and_no_half_written_name(
    root_path: str, ledgers: str
) -> None:
    def open_kv() -> LocalStore:
        return Cache(root_path).kv

    kill_at_random([writer_of_values(open_kv, ledgers, 0)], kills=25, seed=3, pause=0.01)
    kv = open_kv()
    for key in kv.keys():  # noqa: SIM118 - the method
        judge(key, kv.get(key))
        kv.put(key, "free")
    assert os.listdir(f"{root_path}/quarantine") == []
