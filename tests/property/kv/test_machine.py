"""A store against a dict: whatever is done to it, the right value or a miss, never another value."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from fscache.fs.walk import files
from fscache.kv import ABSENT
from fscache.kv.local import LocalStore
from fscache.records.root import Root
from tests.support import damage

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.binary(min_size=1, max_size=3).map(lambda seed: seed * 50_000),  # objects
    st.recursive(
        st.integers() | st.text(max_size=5) | st.binary(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    ),
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=8)


def two_addresses(name: bytes) -> str:
    """Make half of all names collide."""
    return f"{sum(name) % 2:020x}"


class StoreMachine(RuleBasedStateMachine):
    """Puts, removals, time, second openings and damage."""

    hash_name: Any = None
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.now = 1_700_000_000.0
        self.model: dict[str, tuple[object, float | None]] = {}
        self.spoilt: set[str] = set()  # damaged: the value or a miss
        self.kv = self.opened()

    def opened(self) -> LocalStore:
        more = {} if self.hash_name is None else {"hash_name": type(self).hash_name}
        return LocalStore(Root(f"{self.directory}/root", now=lambda: self.now), **more)

    def expected(self, key: str) -> object:
        value, until = self.model.get(key, (ABSENT, None))
        return ABSENT if until is not None and until <= self.now else value

    def check(self, key: str, found: object) -> None:
        expected = self.expected(key)
        if key in self.spoilt and found is ABSENT:
            return
        assert found == expected
        assert type(found) is type(expected)

    def changed(self, key: str, value: object, until: float | None = None) -> None:
        self.model[key] = (value, until)
        self.spoilt.discard(key)

    @rule(target=keys, key=KEYS)
    def name(self, key: str) -> str:
        return key

    @rule(key=keys, value=VALUES, ttl=st.none() | st.integers(1, 100))
    def put(self, key: str, value: object, ttl: int | None) -> None:
        self.kv.put(key, value, ttl=ttl)
        self.changed(key, value, None if ttl is None else self.now + ttl)

    @rule(key=keys)
    def get(self, key: str) -> None:
        self.check(key, self.kv.get(key, ABSENT))

    @rule(key=keys)
    def get_elsewhere(self, key: str) -> None:
        self.check(key, self.opened().get(key, ABSENT))

    @rule(key=keys)
    def delete(self, key: str) -> None:
        deleted = self.kv.delete(key)
        if key not in self.spoilt:
            assert deleted == (self.expected(key) is not ABSENT)
        self.changed(key, ABSENT)

    @rule(key=consumes(keys))
    def pop(self, key: str) -> None:
        self.check(key, self.kv.pop(key, ABSENT))
        self.changed(key, ABSENT)

    @rule(key=keys, delta=st.integers())
    def incr(self, key: str, delta: int) -> None:
        before = self.expected(key)
        if key in self.spoilt:
            return
        until = self.model.get(key, (None, None))[1] if before is not ABSENT else None
        if before is ABSENT:
            before = 0
        if type(before) not in (int, float):
            with pytest.raises(TypeError):
                self.kv.incr(key, delta)
            return
        with contextlib.suppress(OverflowError):  # a float and an int beyond it
            total = before + delta  # type: ignore[operator]
            assert self.kv.incr(key, delta) == total
            self.changed(key, total, until)

    @rule(key=keys, value=VALUES, right=st.booleans())
    def cas(self, key: str, value: object, right: bool) -> None:
        if key in self.spoilt:
            return
        expected = self.expected(key)
        if right:
            assert self.kv.cas(key, expected, value)
            self.changed(key, value)
        else:
            assert not self.kv.cas(key, ["something", "else", 0.123], value)

    @rule(key=keys, ttl=st.none() | st.integers(1, 100))
    def expire(self, key: str, ttl: int | None) -> None:
        there = self.kv.expire(key, ttl)
        if key not in self.spoilt:
            assert there == (self.expected(key) is not ABSENT)
        if there:
            until = None if ttl is None else self.now + ttl
            self.model[key] = (self.model[key][0], until)

    @rule(seconds=st.integers(1, 60))
    def age(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def reopen(self) -> None:
        self.kv = self.opened()

    @rule()
    def sweep(self) -> None:
        self.kv.sweep()

    @rule()
    def forget_what_is_derived(self) -> None:
        shutil.rmtree(f"{self.directory}/root/journal", ignore_errors=True)
        self.kv = self.opened()

    @rule(choice=st.integers(0, 10**6), offset=st.integers(0, 10**6))
    def flip_byte(self, choice: int, offset: int) -> None:
        tops = (f"{self.directory}/root/kv", f"{self.directory}/root/objects")
        found = sorted(item.path for top in tops for item in files(top))
        if found:
            path = found[choice % len(found)]
            damage.flip(path, offset % os.path.getsize(path))
            # An entry may share its object with others.
            self.spoilt.update(key for key, (value, _) in self.model.items() if value is not ABSENT)
            self.kv = self.opened()  # what is in memory has not been damaged

    @invariant()
    def listing_is_right(self) -> None:
        expected = {key for key in self.model if self.expected(key) is not ABSENT}
        found = self.kv.keys()
        assert found == sorted(set(found))
        assert set(found) <= expected
        assert set(found) >= expected - self.spoilt

    def teardown(self) -> None:
        shutil.rmtree(self.directory)


class CollidingMachine(StoreMachine):
    """The same, with half of all keys under one address."""

    hash_name = staticmethod(two_addresses)


def play(machine: type[StoreMachine], steps: list[tuple[str, dict[str, Any]]]) -> None:
    """Play what Hypothesis found once again, on every run."""
    state = machine()
    try:
        for name, arguments in steps:
            getattr(state, name)(**arguments)
            state.listing_is_right()
    finally:
        state.teardown()


@pytest.mark.parametrize("last", ["put", "delete"])
def test_the_empty_key_is_not_taken_for_the_mark_of_a_gap(last: str) -> None:
    more = {"put": {"value": None, "ttl": None}, "delete": {}}
    play(
        CollidingMachine,
        [
            ("put", {"key": "0", "value": 0, "ttl": None}),
            ("put", {"key": "", "value": None, "ttl": None}),
            ("flip_byte", {"choice": 0, "offset": 0}),
            (last, {"key": "", **more[last]}),
        ],
    )


class TestStore(StoreMachine.TestCase):
    pass


class TestCollidingStore(CollidingMachine.TestCase):
    pass
