"""Portions: every shard once, in as few as can be, in turns where they are large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fscache.grid.batches import Item
from fscache.grid.sql.portions import rounds


@given(
    sizes=st.lists(st.floats(0, 1000), min_size=1, max_size=40),
    threads=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), min_size=1),
    single=st.booleans(),
)
def test_every_shard_is_computed_once_and_no_thread_has_two_at_a_time(
    sizes: list[float], threads: dict[str, int], single: bool
) -> None:
    items = [Item(number, size, []) for number, size in enumerate(sizes)]
    planned = rounds(items, threads, single=single, largest=500)
    portions = [portion for portions in planned for portion in portions]
    assert sorted(n for portion in portions for n in portion.shards) == list(range(len(sizes)))
    for portions in planned:
        for worker, count in threads.items():
            assert sum(portion.worker == worker for portion in portions) <= count
    for portion in portions:
        assert len(portion.shards) == 1 or sum(sizes[n] for n in portion.shards) <= 500
        assert len(portion.shards) == 1 or not single


def test_a_worker_gets_its_small_shards_in_one_portion() -> None:
    items = [Item(number, 10.0, ["a" if number < 8 else "b"]) for number in range(16)]
    (portions,) = rounds(items, {"a": 1, "b": 1})
    assert [(portion.worker, portion.shards) for portion in portions] == [
        ("a", list(range(8))),
        ("b", list(range(8, 16))),
    ]


def test_large_shares_come_in_turns() -> None:
    items = [Item(number, 100.0, []) for number in range(8)]
    planned = rounds(items, {"a": 1, "b": 1}, largest=200)
    assert [len(portions) for portions in planned] == [2, 2]
