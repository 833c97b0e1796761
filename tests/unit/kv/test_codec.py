"""Promises of fscache.kv.codec: the bytes of a value."""

from __future__ import annotations

import datetime as dt
import enum
import io
import pickle
import sys
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.kv import codec
from fscache.kv.codec import UnknownKindError, decode, encode, encode_whole, same


def there_and_back(value: object, **options: Any) -> Any:
    data = encode_whole(value, **options)
    return decode(data[:1], data[1:], **options)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())  # lone surrogates too
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC)).map(lambda time: time.replace(fold=0))
)
ANY = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(ANY)
def test_every_value_comes_back_equal_in_value_and_type(value: object) -> None:
    back = there_and_back(value)
    assert back == value
    assert repr(back) == repr(value)


@given(ANY)
def test_a_value_is_the_same_as_itself_and_as_its_copy(value: object) -> None:
    data = encode_whole(value)
    assert same(data[:1], data[1:], value)
    assert same(data[:1], data[1:], there_and_back(value))


@given(ANY, ANY)
def test_values_are_the_same_only_if_equal_in_type_too(one: object, other: object) -> None:
    data = encode_whole(one)
    if same(data[:1], data[1:], other):
        assert one == other


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"n"),
        (True, b"t"),
        (False, b"f"),
        (-12, b"i-12"),
        (2**64, b"I10000000000000000"),
        (1.5, b"r\0\0\0\0\0\0\xf8?"),
        ("é", b"s\xc3\xa9"),
        (b"\0", b"b\0"),
        (dt.datetime(2024, 1, 2, tzinfo=dt.UTC), b"z2024-01-02T00:00:00+00:00"),
        ([1, {"a": None}], b'j[1,{"a":null}]'),
        ([b"x", 1], b"lb1:xi1:1"),
        ({"a": b"x"}, b"ds1:ab1:x"),
    ],
)
def test_the_bytes_are_those_of_the_specification(value: object, data: bytes) -> None:
    assert encode_whole(value) == data


def test_an_array_is_a_npy_file() -> None:
    array = np.arange(12.0).reshape(3, 4)
    letter, *_ = data = encode_whole(array)
    assert letter == ord("a")
    assert (np.load(io.BytesIO(data[1:]), allow_pickle=False) == array).all()
    assert encode_whole(np.float32(2))[:1] == b"g"


def test_a_contiguous_array_is_not_copied() -> None:
    for array in (np.zeros((10, 10)), np.asfortranarray(np.zeros((10, 10)))):
        _, pieces = encode(array)
        assert np.shares_memory(np.frombuffer(pieces[1], np.uint8), array)


class Colour(enum.IntEnum):
    RED = 3


class Text(str):
    __slots__ = ()


Point = namedtuple("Point", "x y")  # noqa: PYI024 - a plain one


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (Colour.RED, 3),
        (Text("x"), "x"),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        ({Text("k"): Colour.RED}, {"k": 3}),
        ([Colour.RED, b""], [3, b""]),
    ],
)
def test_a_subclass_comes_back_as_what_it_extends(value: object, back: object) -> None:
    found = there_and_back(value)
    assert found == back
    assert type(found) is type(back)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1},
        1j,
        dt.date(2024, 1, 1),
        dt.timedelta(1),
        np.ma.array([1]),
        np.array([None]),
        {"a": [object()]},
        {1: 1},
        [{b"k": 1}],
        type,
    ],
    # Not `repr`: it holds an object's address, and parallel workers must see the same names.
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_letter_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        encode_whole(value)


def test_ints_have_no_limit_of_digits() -> None:
    assert there_and_back(10**6000) == 10**6000
    assert there_and_back([10**6000]) == [10**6000]


def test_json_of_more_digits_than_may_be_read_is_of_an_unknown_kind() -> None:
    with pytest.raises(UnknownKindError, match="digits"):
        decode(b"j", b"[" + b"1" * (sys.get_int_max_str_digits() + 1) + b"]")


def test_too_deep_a_value_is_a_value_error() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value, b""]
    with pytest.raises(ValueError, match="nests too deeply"):
        encode_whole(value)


@pytest.mark.parametrize("letter", [b"?", b"N", b""])
def test_a_letter_of_a_later_version_is_said_to_be_one(letter: bytes) -> None:
    with pytest.raises(UnknownKindError, match="newer version"):
        decode(letter, b"")


def test_a_serializer_is_used_for_what_has_no_letter_and_for_nothing_else() -> None:
    data = encode_whole({1, 2}, pickle)
    assert data[:1] == b"x"
    assert decode(data[:1], data[1:], pickle) == {1, 2}
    assert encode_whole([1], pickle) == b"j[1]"
    assert there_and_back([{1}, 2], serializer=pickle) == [{1}, 2]


def test_what_a_serializer_wrote_is_not_read_without_it() -> None:
    data = encode_whole({1}, pickle)
    with pytest.raises(UnknownKindError, match="serializer"):
        decode(data[:1], data[1:])


def test_an_array_of_objects_is_not_unpickled() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{1}]), allow_pickle=True)
    with pytest.raises((ValueError, UnknownKindError)):
        decode(b"a", stream.getvalue())


def test_dicts_are_the_same_in_any_order_and_lists_are_not() -> None:
    data = encode_whole({"a": [1, {"x": 1, "y": 2}], "b": b""})
    assert same(data[:1], data[1:], {"b": b"", "a": [1, {"y": 2, "x": 1}]})
    data = encode_whole([1, 2])
    assert same(data[:1], data[1:], (1, 2))
    assert not same(data[:1], data[1:], [2, 1])


def test_length_counts_bytes() -> None:
    assert codec.length(b"abc") == 3
    assert codec.length(memoryview(np.zeros(3))) == 24
