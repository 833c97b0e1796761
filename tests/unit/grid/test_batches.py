from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fscache.grid.batches import Item, Stretch, merge, plan

WORKERS = {"a": 1, "b": 1}


def items(count: int, holders: list[str] | None = None) -> list[Item]:
    return [Item(number, 1.0, holders or ["a", "b"]) for number in range(count)]


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.lists(st.sampled_from("abcx")))),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 4), min_size=1),
    st.booleans(),
)
def test_every_piece_is_in_exactly_one_batch(work: list, threads: dict, single: bool) -> None:
    listed = [Item(number, weight, holders) for number, (weight, holders) in enumerate(work)]
    batches = plan(listed, threads, single=single)
    assert sorted(n for batch in batches for n in batch.indices) == list(range(len(work)))
    assert all(batch.worker in threads for batch in batches)
    assert not single or all(len(batch.indices) == 1 for batch in batches)


def test_a_piece_goes_where_its_data_is() -> None:
    listed = [Item(number, 1.0, ["b"] if number % 2 else ["a"]) for number in range(10)]
    for batch in plan(listed, WORKERS):
        assert {number % 2 for number in batch.indices} == {1 if batch.worker == "b" else 0}


def test_what_nobody_here_has_goes_to_somebody() -> None:
    assert {batch.worker for batch in plan(items(8, ["gone"]), WORKERS)} == {"a", "b"}


def test_portions_shrink_and_are_far_fewer_than_pieces() -> None:
    batches = plan(items(64), WORKERS)
    sizes = [len(batch.indices) for batch in batches if batch.worker == "a"]
    assert sizes == [16, 8, 4, 4]


def test_neighbours_stay_together() -> None:
    for batch in plan(items(64), WORKERS):
        assert batch.indices == list(range(batch.indices[0], batch.indices[-1] + 1))


def test_a_reducer_that_is_only_associative_sees_the_order_of_the_table() -> None:
    stretches = [Stretch(number, number + 1, [number]) for number in range(20)]
    random.Random(1).shuffle(stretches)
    parts = [merge(stretches[start::3], lambda a, b: a + b) for start in range(3)]
    merged = merge([each for part in parts for each in part], lambda a, b: a + b)
    assert merged == [Stretch(0, 20, list(range(20)))]


def test_without_a_reducer_values_stay_apart_and_in_order() -> None:
    stretches = [Stretch(2, 3, "c"), Stretch(0, 1, "a"), Stretch(1, 2, "b")]
    assert [each.value for each in merge(stretches, None)] == ["a", "b", "c"]
