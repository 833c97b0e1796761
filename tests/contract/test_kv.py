"""What every store of key-values promises, wherever it lies.

A further kind of store adds its maker to `MAKERS`: a context manager that is given a directory and a
clock, and yields a function that opens the same data anew each time it is called.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import tempfile
import threading
from collections.abc import MutableMapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fscache.cache import Cache
from fscache.kv import ABSENT, Version
from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.kv import KeyValues
    from tests.conftest import Clock

    Open = Callable[[], KeyValues]


@contextmanager
def local(directory: str, clock: Clock) -> Iterator[Open]:
    yield lambda: Cache(directory, now=clock).kv


@contextmanager
def remote(directory: str, clock: Clock) -> Iterator[Open]:
    with ExitStack() as stack:
        server = stack.enter_context(serving(directory, now=clock))
        own = stack.enter_context(tempfile.TemporaryDirectory())
        yield lambda: stack.enter_context(server.remote(own)).kv


MAKERS = {"local": local, "remote": remote}


@pytest.fixture(params=MAKERS)
def open_kv(request: pytest.FixtureRequest, root_path: str, clock: Clock) -> Iterator[Open]:
    with MAKERS[request.param](root_path, clock) as opener:
        yield opener


@pytest.fixture
def kv_store(open_kv: Open) -> KeyValues:
    return open_kv()


@pytest.fixture
def other(open_kv: Open) -> KeyValues:
    """Somebody else at the same data."""
    return open_kv()


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(2**200),
    0.0,
    -0.0,
    0.1,
    math.inf,
    "",
    "text",
    "Zeitlängenänderung \U0001f552\n\0",
    b"",
    bytes(range(256)),
    dt.datetime(2024, 2, 29, 12, 30, 1, 5),  # noqa: DTZ001 - without a zone, too
    dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC),
    dt.datetime(2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
    [],
    {},
    [1, "two", None, [3.0]],
    {"a": {"b": [True, None]}},
    {"bytes": b"\xff", "when": dt.datetime(2024, 1, 1), "big": 2**70},  # noqa: DTZ001
    {"$text": "looks like a tag"},
    "x" * 200_000,
    b"y" * 200_000,
    [{"n": number} for number in range(20_000)],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_comes_back_as_it_went(
    kv_store: KeyValues, other: KeyValues, value: object
) -> None:
    kv_store.put("key", value)
    for store in (kv_store, other, other):
        found = store.get("key")
        assert found == value
        assert type(found) is type(value)
        assert repr(found) == repr(value)


def test_nan_comes_back(kv_store: KeyValues) -> None:
    kv_store.put("key", math.nan)
    assert math.isnan(kv_store.get("key"))


@pytest.mark.parametrize(
    ("given", "back"),
    [((1, (2,)), [1, [2]]), (bytearray(b"x"), b"x"), (memoryview(b"x"), b"x")],
)
def test_what_changes_on_the_way(kv_store: KeyValues, given: object, back: object) -> None:
    kv_store.put("key", given)
    assert kv_store.get("key") == back


ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.arange(6.0).reshape(2, 3).T,
    np.arange(100)[::7],
    np.zeros((0, 3)),
    np.array(5.0),
    np.array(["text", "längeres"]),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array(["2024-01-01"], dtype="datetime64[s]"),
    np.arange(50_000, dtype=">f8").reshape(5, -1),
    np.asfortranarray(np.arange(50_000.0).reshape(5, -1)),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_come_back_equal_and_read_only(
    kv_store: KeyValues, other: KeyValues, array: np.ndarray
) -> None:
    kv_store.put("key", array)
    for store in (kv_store, other, other):
        found = store.get("key")
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert (found == array).all()
        assert not found.flags.writeable


@pytest.mark.parametrize("scalar", [np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("x")])
def test_numpy_scalars_come_back_as_such(kv_store: KeyValues, scalar: np.generic) -> None:
    kv_store.put("key", scalar)
    assert kv_store.get("key") == scalar
    assert type(kv_store.get("key")) is type(scalar)


class Unknown:
    pass


@pytest.mark.parametrize(
    "value",
    [Unknown(), {1: 2}, [{None: 1}], {1, 2}, 1j, np.array([Unknown()])],
    ids=lambda value: repr(value)[:20],
)
def test_what_has_no_place_in_a_file_is_refused_and_changes_nothing(
    kv_store: KeyValues, value: object
) -> None:
    kv_store.put("key", "old")
    with pytest.raises(TypeError):
        kv_store.put("key", value)
    assert kv_store.get("key") == "old"


def test_a_value_that_contains_itself_is_refused(kv_store: KeyValues) -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="contains itself"):
        kv_store.put("key", value)


KEYS = [
    "",
    "a",
    "a/b",
    "../../etc/passwd",
    "/",
    ".",
    "with space",
    "line\nbreak",
    "back\\slash\\n",
    "\0",
    "Schlüssel",
    "\udcff",  # a byte of a file's name that is no UTF-8
    "x" * 10_000,
    "-1",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: repr(key)[:20])
def test_any_text_is_a_key(kv_store: KeyValues, other: KeyValues, key: str) -> None:
    kv_store.put(key, "value")
    assert other.get(key) == "value"
    assert other.keys() == [key]
    assert other.delete(key)
    assert kv_store.keys() == []


def test_all_odd_keys_live_side_by_side(kv_store: KeyValues) -> None:
    kv_store.multiput({key: number for number, key in enumerate(KEYS)})
    assert kv_store.keys() == sorted(KEYS)
    assert kv_store.multiget(KEYS) == {key: number for number, key in enumerate(KEYS)}


@pytest.mark.parametrize("key", [1, None, b"bytes", ("a",)])
def test_a_key_that_is_not_text_is_refused(kv_store: KeyValues, key: Any) -> None:
    for call in (kv_store.get, kv_store.delete, kv_store.incr, kv_store.pop):
        with pytest.raises(TypeError):
            call(key)
    with pytest.raises(TypeError):
        kv_store.put(key, 1)
    assert key not in kv_store


# -- missing ----------------------------------------------------------------------------------


def test_a_missing_key_is_a_key_error_that_names_it(kv_store: KeyValues) -> None:
    for call in (
        kv_store.get,
        kv_store.pop,
        kv_store.version,
        kv_store.ttl,
        kv_store.tags,
        kv_store.__getitem__,
        kv_store.__delitem__,
    ):
        with pytest.raises(KeyError) as caught:
            call("missing")
        assert caught.value.args == ("missing",)


def test_a_missing_key_is_the_default_where_one_is_given(kv_store: KeyValues) -> None:
    assert kv_store.get("missing", None) is None
    assert kv_store.get("missing", 5) == 5
    assert kv_store.pop("missing", 5) == 5
    assert kv_store.multiget(["missing"], 5) == {"missing": 5}


def test_none_is_a_value(kv_store: KeyValues) -> None:
    kv_store.put("key", None)
    assert kv_store.get("key", "default") is None
    assert "key" in kv_store


def test_multiget_raises_if_any_key_is_missing(kv_store: KeyValues) -> None:
    kv_store.put("there", 1)
    with pytest.raises(KeyError) as caught:
        kv_store.multiget(["there", "missing"])
    assert caught.value.args == ("missing",)
    assert kv_store.multiget([]) == {}


def test_an_empty_store_is_empty(kv_store: KeyValues) -> None:
    assert kv_store.keys() == []
    assert list(kv_store.items()) == []
    assert len(kv_store) == 0
    assert not kv_store.delete("x")
    assert not kv_store.expire("x", 1)
    assert kv_store.sweep() == 0
    assert kv_store.tagged("x") == []
    assert kv_store.stores() == []


# -- changing ---------------------------------------------------------------------------------


def test_a_put_replaces(kv_store: KeyValues) -> None:
    for value in ("old", "new", b"n" * 100_000, 7):
        kv_store.put("key", value)
        assert kv_store.get("key") == value
    assert kv_store.keys() == ["key"]


def test_another_client_sees_every_put_and_removal_at_once(
    kv_store: KeyValues, other: KeyValues
) -> None:
    for number in range(300):
        kv_store.put("key", number % 10)  # the same size, quickly, and equal ones now and then
        assert other.get("key") == number % 10
    kv_store.delete("key")
    assert other.get("key", None) is None
    kv_store.put("key", "again")
    assert other.get("key") == "again"


def test_what_a_caller_does_to_a_value_stays_with_the_caller(kv_store: KeyValues) -> None:
    value = {"list": [1]}
    kv_store.put("key", value)
    value["list"].append(2)
    kv_store.get("key")["list"].append(3)
    assert kv_store.get("key") == {"list": [1]}


def test_multiput_takes_mappings_and_pairs(kv_store: KeyValues) -> None:
    kv_store.multiput({"a": 1, "b": 2})
    kv_store.multiput((name, 3) for name in ("b", "c"))
    assert dict(kv_store.items()) == {"a": 1, "b": 3, "c": 3}


def test_one_key_is_no_list_of_keys(kv_store: KeyValues) -> None:
    kv_store.multiput({"a": 1, "b": 2})
    with pytest.raises(TypeError, match=r"\['ab'\]"):
        kv_store.multiget("ab")
    assert kv_store.multiget(["a", "b"]) == {"a": 1, "b": 2}


@pytest.mark.parametrize("pairs", ["ab", ["ab", "cd"], {"ab"}])
def test_a_text_is_no_pair(kv_store: KeyValues, pairs: Any) -> None:
    with pytest.raises(TypeError, match="pairs"):
        kv_store.multiput(pairs)
    assert len(kv_store) == 0


def test_a_prefix_a_tag_and_a_timeout_are_what_they_are_called(kv_store: KeyValues) -> None:
    kv_store.put("a", 1)
    for wrong in (lambda: kv_store.keys(5), lambda: kv_store.watch(5)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a prefix is text, not int"):
            wrong()
    with pytest.raises(TypeError, match="a tag is text, not int"):
        kv_store.tagged(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a timeout is a number"):
        kv_store.watch(timeout="soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nan"):
        kv_store.watch(timeout=float("nan"))
    with pytest.raises(TypeError, match="decorates a function, not 5"):
        kv_store.memoize(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a ttl is a positive"):
        kv_store.memoize(print, ttl=-1)


def test_delete_says_whether_there_was_something(kv_store: KeyValues) -> None:
    kv_store.put("key", 1)
    assert kv_store.delete("key") is True
    assert kv_store.delete("key") is False


def test_pop_returns_and_removes(kv_store: KeyValues) -> None:
    kv_store.put("key", b"z" * 100_000)
    assert kv_store.pop("key") == b"z" * 100_000
    assert "key" not in kv_store


def test_of_many_that_pop_one_key_one_gets_it(open_kv: Open) -> None:
    open_kv().put("job", "work")
    got: list[str] = []

    def take() -> None:
        found = open_kv().pop("job", None)
        if found is not None:
            got.append(found)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["work"]


# -- the mapping face -------------------------------------------------------------------------


def test_it_is_a_mutable_mapping(kv_store: KeyValues) -> None:
    assert isinstance(kv_store, MutableMapping)
    kv_store["a"] = 1
    kv_store.update({"b": 2}, c=3)
    assert kv_store["a"] == 1
    assert "b" in kv_store
    assert "z" not in kv_store
    assert 5 not in kv_store
    assert len(kv_store) == 3
    assert list(kv_store) == ["a", "b", "c"]
    assert list(kv_store.values()) == [1, 2, 3]
    assert kv_store == {"a": 1, "b": 2, "c": 3}
    del kv_store["a"]
    assert kv_store.setdefault("b", 9) == 2
    assert kv_store.setdefault("d", 9) == 9
    key, _ = kv_store.popitem()
    assert key not in kv_store
    kv_store.clear()
    assert dict(kv_store) == {}


def test_keys_and_items_by_prefix_are_sorted(kv_store: KeyValues) -> None:
    kv_store.multiput({f"run_{run}/{name}": run for run in (2, 1) for name in ("loss", "acc")})
    assert kv_store.keys("run_1/") == ["run_1/acc", "run_1/loss"]
    assert list(kv_store.items("run_2/")) == [("run_2/acc", 2), ("run_2/loss", 2)]
    assert kv_store.keys("run_3") == []


# -- counting and comparing -------------------------------------------------------------------


def test_incr_starts_at_the_default_and_returns_the_sum(kv_store: KeyValues) -> None:
    assert kv_store.incr("n") == 1
    assert kv_store.incr("n", 5) == 6
    assert kv_store.incr("n", -7) == -1
    assert kv_store.incr("m", 2, default=40) == 42
    assert kv_store.incr("f", 0.5) == 0.5
    assert kv_store.get("n") == -1
    assert kv_store.incr("big", 2**80) == 2**80


@pytest.mark.parametrize(
    ("delta", "total"),
    [(np.int64(3), 45), (np.uint8(3), 45), (np.float32(0.5), 42.5), (np.float64(0.5), 42.5)],
)
def test_numpys_numbers_count_as_pythons(
    kv_store: KeyValues, delta: np.generic, total: float
) -> None:
    for start in (40, np.int16(40)):
        kv_store.put("n", start)
        assert kv_store.incr("n", np.int64(2)) == 42
        found = kv_store.incr("n", delta)  # type: ignore[arg-type]  # NumPy's are numbers, too
        assert (found, type(found)) == (total, type(total))
        assert kv_store.get("n") == total
    assert kv_store.incr("m", delta, default=np.int64(42)) == total  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.bool_(True), np.str_("1"), np.complex128(1), np.arange(1)])
def test_what_is_no_number_of_numpys_does_not_count(kv_store: KeyValues, value: Any) -> None:
    kv_store.put("key", value)
    with pytest.raises(TypeError, match="no number"):
        kv_store.incr("key")
    with pytest.raises(TypeError, match="not a number"):
        kv_store.incr("other", value)


@pytest.mark.parametrize("value", ["1", None, True, [1], b"1"])
def test_only_numbers_can_be_incremented(kv_store: KeyValues, value: object) -> None:
    kv_store.put("key", value)
    with pytest.raises(TypeError, match="no number"):
        kv_store.incr("key")
    assert kv_store.get("key") == value


@pytest.mark.parametrize("delta", ["1", None, True, 1j])
def test_only_numbers_can_be_added(kv_store: KeyValues, delta: Any) -> None:
    with pytest.raises(TypeError):
        kv_store.incr("key", delta)


def test_incr_keeps_ttl_and_tags(kv_store: KeyValues, clock: Clock) -> None:
    kv_store.put("n", 1, ttl=10, tags=["t"])
    kv_store.incr("n")
    assert kv_store.tags("n") == ("t",)
    clock.advance(11)
    assert kv_store.incr("n") == 1


def test_no_increment_of_any_thread_is_lost(open_kv: Open) -> None:
    def work() -> None:
        mine = open_kv()
        for _ in range(50):
            mine.incr("n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_kv().get("n") == 200


def test_an_increment_asked_for_twice_with_one_token_is_made_once(
    kv_store: KeyValues, other: KeyValues
) -> None:
    assert kv_store.incr("n", 5, once="token-1") == 5
    assert kv_store.incr("n", 5, once="token-2") == 10
    assert other.incr("n", 5, once="token-1") == 5
    assert other.incr("n", 5, once="token-2") == 10
    assert kv_store.get("n") == 10
    assert kv_store.incr("n") == 11


def test_cas_compares_values(kv_store: KeyValues) -> None:
    kv_store.put("key", {"a": 1, "b": [2]})
    assert not kv_store.cas("key", {"a": 1}, "new")
    assert kv_store.cas("key", {"b": [2], "a": 1}, "new")
    assert kv_store.get("key") == "new"
    assert kv_store.cas("key", "new", np.arange(3))
    assert kv_store.cas("key", np.arange(3), "x" * 100_000)
    assert kv_store.cas("key", "x" * 100_000, None)
    assert kv_store.cas("key", None, 1)


@pytest.mark.parametrize("expected", [1.0, True, "1", np.int64(1), [1]])
def test_cas_tells_types_apart(kv_store: KeyValues, expected: object) -> None:
    kv_store.put("key", 1)
    assert not kv_store.cas("key", expected, "new")


def test_cas_can_expect_nothing(kv_store: KeyValues) -> None:
    assert not kv_store.cas("key", None, 1)
    assert kv_store.cas("key", ABSENT, 1)
    assert not kv_store.cas("key", ABSENT, 2)
    assert kv_store.get("key") == 1


def test_cas_can_expect_a_version(kv_store: KeyValues, other: KeyValues) -> None:
    kv_store.put("key", "a")
    version = kv_store.version("key")
    assert isinstance(version, Version)
    assert other.version("key") == version
    other.put("key", "b")
    other.put("key", "a")
    assert not kv_store.cas("key", version, "c")
    assert kv_store.cas("key", kv_store.version("key"), "c")
    assert not kv_store.cas("missing", version, "c")


def test_a_cas_asked_for_twice_with_one_token_succeeds_twice_and_is_made_once(
    kv_store: KeyValues,
) -> None:
    assert kv_store.cas("key", ABSENT, 1, once="t")
    assert kv_store.cas("key", ABSENT, 1, once="t")
    assert kv_store.incr("key") == 2
    assert kv_store.cas("key", ABSENT, 1, once="t")
    assert kv_store.get("key") == 2
    assert not kv_store.cas("key", ABSENT, 1, once="other")


@pytest.mark.parametrize("token", ["x" * 65, "é"])
def test_a_token_is_short_and_plain(kv_store: KeyValues, token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        kv_store.incr("n", once=token)


# -- time -------------------------------------------------------------------------------------


def test_what_has_passed_its_ttl_is_not_there(
    kv_store: KeyValues, other: KeyValues, clock: Clock
) -> None:
    kv_store.put("short", 1, ttl=10)
    kv_store.put("long", 2)
    clock.advance(9.9)
    assert other.get("short") == kv_store.get("short") == 1
    assert kv_store.ttl("short") == pytest.approx(0.1, abs=1e-3)
    assert kv_store.ttl("long") is None
    clock.advance(0.2)
    for store in (kv_store, other):
        assert store.get("short", None) is None
        assert "short" not in store
        assert store.keys() == ["long"]
        assert len(store) == 1
        assert not store.cas("short", 1, 2)
        assert store.pop("short", None) is None
        assert not store.expire("short", 5)
    assert not kv_store.delete("short")


def test_a_put_ends_an_earlier_ttl(kv_store: KeyValues, clock: Clock) -> None:
    kv_store.put("key", 1, ttl=10)
    kv_store.put("key", 2)
    clock.advance(11)
    assert kv_store.get("key") == 2


def test_expire_sets_moves_and_ends_a_ttl(kv_store: KeyValues, clock: Clock) -> None:
    kv_store.put("key", b"v" * 100_000, tags=["t"])
    assert kv_store.expire("key", 5)
    assert kv_store.expire("key", 50)
    clock.advance(10)
    assert kv_store.get("key") == b"v" * 100_000
    assert kv_store.expire("key", None)
    clock.advance(100)
    assert kv_store.get("key") == b"v" * 100_000
    assert kv_store.tags("key") == ("t",)
    assert kv_store.expire("key", 1)
    clock.advance(2)
    assert kv_store.get("key", None) is None


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf])
def test_a_ttl_is_positive(kv_store: KeyValues, ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        kv_store.put("key", 1, ttl=ttl)
    assert "key" not in kv_store


@pytest.mark.parametrize("ttl", ["60", b"60", True, dt.timedelta(1), [1], 1j])
def test_a_ttl_is_a_number(kv_store: KeyValues, ttl: Any) -> None:
    kv_store.put("key", "old")
    for call in (
        lambda: kv_store.put("key", 1, ttl=ttl),
        lambda: kv_store.multiput({"key": 1}, ttl=ttl),
        lambda: kv_store.cas("key", "old", 1, ttl=ttl),
        lambda: kv_store.expire("key", ttl),
    ):
        with pytest.raises(TypeError, match="a ttl is a number of seconds"):
            call()
    assert kv_store.get("key") == "old"
    kv_store.put("key", 1, ttl=np.int64(60))  # type: ignore[arg-type]  # NumPy's are numbers, too
    assert kv_store.ttl("key") == 60


def test_what_is_flushed_is_there(kv_store: KeyValues, other: KeyValues) -> None:
    kv_store.flush()
    kv_store.put("key", 1)
    kv_store.flush()
    assert other.get("key") == 1


def test_sweep_removes_what_has_passed_its_ttl_and_nothing_else(
    kv_store: KeyValues, other: KeyValues, clock: Clock
) -> None:
    kv_store.multiput({"a": 1, "b": 2}, ttl=10)
    kv_store.put("c", 3, ttl=20)
    kv_store.put("d", 4)
    clock.advance(15)
    assert other.sweep() == 2
    assert other.sweep() == 0
    assert kv_store.keys() == ["c", "d"]


# -- tags -------------------------------------------------------------------------------------


def test_keys_are_found_by_tag(kv_store: KeyValues, other: KeyValues, clock: Clock) -> None:
    kv_store.put("a", 1, tags=["red", "big"])
    kv_store.put("b", 2, tags=["red"], ttl=10)
    kv_store.put("c", 3)
    assert other.tagged("red") == ["a", "b"]
    assert other.tagged("big") == ["a"]
    assert other.tagged("blue") == []
    assert kv_store.tags("a") == ("big", "red")
    kv_store.put("a", 1)
    assert other.tagged("red") == ["b"]
    clock.advance(11)
    assert other.tagged("red") == []


def test_tags_are_a_list_of_words(kv_store: KeyValues) -> None:
    with pytest.raises(TypeError, match="not one word"):
        kv_store.put("a", 1, tags="red")
    one: Any = 1
    with pytest.raises(TypeError, match="a tag is text, not int: 1"):
        kv_store.put("a", 1, tags=[one])


# -- stores -----------------------------------------------------------------------------------


def test_stores_are_apart(kv_store: KeyValues, other: KeyValues) -> None:
    metrics = kv_store.store("simulation_123")
    metrics.put("key", "in it")
    kv_store.put("key", "here")
    assert other.store("simulation_123").get("key") == "in it"
    assert other.get("key") == "here"
    assert metrics.name == "simulation_123"
    assert other.stores() == ["default", "simulation_123"]
    metrics.clear()
    assert other.stores() == ["default"]
    assert kv_store.store("default").get("key") == "here"


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\nb", "\0", "x" * 101, "\u2028"]
)
def test_a_name_that_is_none_is_refused(kv_store: KeyValues, name: str) -> None:
    with pytest.raises(ValueError, match="store's name"):
        kv_store.store(name)


@pytest.mark.parametrize("name", ["a", "with space", "Läufe", "x" * 100, "a..b", "~", "-"])
def test_a_name_may_be_any_printable_text(kv_store: KeyValues, name: str) -> None:
    kv_store.store(name).put("key", 1)
    assert kv_store.stores() == [name]


# -- watching ---------------------------------------------------------------------------------


def test_watch_tells_puts_and_removals_under_its_prefix(
    kv_store: KeyValues, other: KeyValues
) -> None:
    kv_store.multiput({"run/old": 1, "run/same": 1, "else": 1})
    watch = other.watch("run/", timeout=0.3)
    kv_store.put("run/new", 1)
    kv_store.put("else", 2)
    kv_store.put("run/old", 2)
    assert {next(watch), next(watch)} == {"run/new", "run/old"}
    assert list(watch) == []
    kv_store.delete("run/old")
    assert watch.wait(20) == ["run/old"]
    assert watch.wait(0) == []


def test_watch_wakes_up_for_a_change_made_while_it_waits(
    kv_store: KeyValues, other: KeyValues
) -> None:
    watch = other.watch()
    thread = threading.Thread(target=lambda: kv_store.put("key", "value"))
    thread.start()
    assert next(watch) == "key"
    thread.join()
    assert other.get("key") == "value"


def test_watch_misses_none_of_many_changes(kv_store: KeyValues, other: KeyValues) -> None:
    watch = other.watch()
    keys = {f"key{number}" for number in range(500)}

    def work() -> None:
        for key in keys:
            kv_store.put(key, 1)

    thread = threading.Thread(target=work)
    thread.start()
    seen: set[str] = set()
    while seen < keys:
        found = watch.wait(20)
        assert found, f"still missing {len(keys - seen)}"
        seen.update(found)
    thread.join()
    assert seen == keys


# -- memoize ----------------------------------------------------------------------------------


def test_memoize_calls_once_for_equal_arguments(kv_store: KeyValues, other: KeyValues) -> None:
    calls = []

    def slow(x: int, y: object = 2, *rest: int, **more: int) -> object:
        calls.append((x, y, rest, more))
        return (x, y, *rest)

    first = kv_store.memoize(slow)
    second = other.memoize(slow)
    assert first(1) == second(1) == first(x=1, y=2) == [1, 2]
    assert len(calls) == 1
    assert first(1, 2, 3) == [1, 2, 3]
    first(1.0)
    first(1, z=1)
    first(1, {"b": 1, "a": 2})
    first(1, {"a": 2, "b": 1})
    assert len(calls) == 5


def test_memoize_returns_a_result_that_is_gone_as_soon_as_it_is_kept(kv_store: KeyValues) -> None:
    calls = []

    @kv_store.memoize(ttl=1e-7)
    def slow(x: int) -> int:
        calls.append(x)
        return x + 1

    assert (slow(1), slow(1)) == (2, 2)
    assert calls == [1, 1]


def test_memoize_refuses_a_function_whose_call_returns_no_result(kv_store: KeyValues) -> None:
    async def later() -> int:
        return 1

    def many() -> Iterator[int]:
        yield 1

    for function in (later, many):
        with pytest.raises(TypeError, match="returns no value that could be kept"):
            kv_store.memoize(function)


def test_memoize_takes_whatever_is_called_and_has_a_name(kv_store: KeyValues) -> None:
    calls: list[int] = []

    def note(number: int, factor: int) -> int:
        calls.append(number)
        return number * factor

    class Doubling:
        def __call__(self, number: int) -> int:
            return note(number, 2)

    for name, given in (("partial", functools.partial(note, factor=2)), ("object", Doubling())):
        with pytest.raises(TypeError, match="has no name of its own"):
            kv_store.memoize(given)
        kept = kv_store.memoize(given, name=name)
        assert [kept(4), kept(4)] == [8, 8]
    assert calls == [4, 4]
    assert kv_store.memoize(Doubling).key().endswith("Doubling@1()")


def test_memoize_keeps_none_and_no_exception(kv_store: KeyValues) -> None:
    calls = []

    @kv_store.memoize
    def nothing(fail: bool) -> None:
        calls.append(fail)
        if fail:
            raise OSError("no")

    nothing(False)
    nothing(False)
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            nothing(True)
    assert calls == [False, True, True]


def test_memoize_computes_again_for_another_version_and_after_the_ttl(
    kv_store: KeyValues, clock: Clock
) -> None:
    calls = []

    def slow(x: int) -> int:
        calls.append(x)
        return x

    kv_store.memoize(slow, ttl=10)(1)
    kv_store.memoize(slow, ttl=10)(1)
    assert len(calls) == 1
    kv_store.memoize(slow, version=2)(1)
    assert len(calls) == 2
    clock.advance(11)
    kv_store.memoize(slow, ttl=10)(1)
    assert len(calls) == 3


def test_memoize_says_which_key_a_call_has(kv_store: KeyValues) -> None:
    @kv_store.memoize(name="model.run", version="b")
    def run(steps: int, seed: int = 7) -> int:
        return steps

    run(100)
    assert run.key(100) == "model.run@b(steps=100, seed=7)"
    assert kv_store.get(run.key(100)) == 100
    assert kv_store.delete(run.key(100))
    assert run.__wrapped__(5) == 5
    assert len(run.key("x" * 1000)) < 100
    assert run.key("x" * 1000) != run.key("x" * 1001)


def test_memoize_takes_arrays(kv_store: KeyValues) -> None:
    calls = []

    @kv_store.memoize
    def total(array: np.ndarray) -> float:
        calls.append(1)
        return float(array.sum())

    assert total(np.arange(1000)) == total(np.arange(1000)) == 499500.0
    assert total(np.arange(1000.0)) == 499500.0
    assert len(calls) == 2
