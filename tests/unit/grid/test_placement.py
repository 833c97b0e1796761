from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fscache.grid.placement import place


@given(st.lists(st.integers(0, 10**9)), st.integers(1, 5), st.integers(1, 7))
def test_every_shard_has_as_many_different_nodes_as_asked(
    sizes: list[int], count: int, replicas: int
) -> None:
    nodes = [f"n{number}" for number in range(count)]
    for home in place(sizes, nodes, replicas):
        assert len(home) == len(set(home)) == min(replicas, count)


def test_nodes_get_equal_shares_of_neighbours() -> None:
    homes = [home[0] for home in place([10] * 64, ["a", "b", "c", "d"], 1)]
    assert homes == sorted(homes)
    assert set(Counter(homes).values()) == {16}


def test_shares_are_of_bytes_not_of_shards() -> None:
    homes = [home[0] for home in place([30, 10, 10, 10], ["a", "b"], 1)]
    assert homes == ["a", "b", "b", "b"]


def test_a_grid_without_nodes_places_nothing() -> None:
    assert place([1, 2], [], 1) == [[], []]
