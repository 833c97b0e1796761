"""Promises of fscache.kv.record: the payload of an entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.kv.codec import UnknownKindError
from fscache.kv.record import ONCE_KEPT, Pointer, Record, check_token, decode

AT = Pointer("f" * 32, 0, 70_000, 5, 6)
POINTERS = st.builds(
    Pointer,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.integers(0, 63),
    *[st.integers(0, 2**63)] * 3,
)
RECORDS = st.builds(
    Record,
    st.sampled_from([b"s", b"b", b"i"]),
    st.binary(),
    expires=st.none() | st.integers(0, 2**60),
    tags=st.lists(st.text(), max_size=4).map(tuple),
    pointer=st.none() | POINTERS,
    once=st.lists(
        st.tuples(st.text(st.characters(codec="ascii"), max_size=9), st.binary()), max_size=3
    ).map(tuple),
)


def plain(record: Record) -> tuple[object, ...]:
    at = record.pointer
    where = None if at is None else (at.digest, at.slot, at.size, at.inode, at.mtime_ns)
    return (record.letter, record.body, record.expires, record.tags, where, record.once)


@given(RECORDS)
def test_a_record_comes_back(record: Record) -> None:
    assert plain(decode(record.encode())) == plain(record)


@pytest.mark.parametrize(
    ("record", "payload"),
    [
        (Record(b"s", b"bar"), b"@sbar"),
        (Record(b"i", b"1", expires=1_700_000_000_000_000), b"A16:1700000000000000i1"),
        (Record(b"n", b"", tags=("a", "b\u00e9")), b"B8:1:a3:b\xc3\xa9n"),
        (Record(b"b", b"", pointer=AT), b"D44:" + b"f" * 32 + b" 0 70000 5 6b"),
        (Record(b"i", b"2", once=(("t", b"i2"),)), b"H7:1:t2:i2i2"),
    ],
)
def test_the_bytes_are_those_of_the_specification(record: Record, payload: bytes) -> None:
    assert record.encode() == payload
    assert plain(decode(payload)) == plain(record)


@pytest.mark.parametrize("payload", [b"", b"Psx", b"\0", b"`s", b"?s", b"\xff"])
def test_flags_of_a_later_version_are_said_to_be_such(payload: bytes) -> None:
    with pytest.raises(UnknownKindError, match="newer version"):
        decode(payload)


def test_a_record_is_alive_until_it_expires() -> None:
    record = Record(b"n", b"", expires=10_000_000)
    assert record.is_alive(9.999)
    assert not record.is_alive(10.0)
    assert Record(b"n", b"").is_alive(1e12)


def test_the_last_tokens_are_kept_with_their_results() -> None:
    record = Record(b"i", b"0")
    for number in range(ONCE_KEPT + 5):
        record.once = record.once_and(f"t{number}", b"i%d" % number)
    assert len(record.once) == ONCE_KEPT
    assert record.result_of("t4") is None
    assert record.result_of("t5") == b"i5"
    assert record.once_and("", b"x") == record.once
    assert record.result_of("") is None


def test_a_token_is_plain_and_short() -> None:
    assert check_token("x" * 64) == "x" * 64
    for token in ("x" * 65, "\u00e9"):
        with pytest.raises(ValueError, match="token"):
            check_token(token)
