import datetime as dt
import os
import xmlrpc.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache import errors
from fscache.remote import codec, faults

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.sampled_from([b"long" * 2000, bytearray(5000), memoryview(b"x" * 4096)])
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.integers() | st.sampled_from(["$text", "$int", "$bytes"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


SIMPLE = xmlrpc.client.dumps(("a",), "get").encode()


@given(VALUES)
def test_every_value_comes_back_as_it_went(value: object) -> None:
    assert codec.decode_result(codec.encode_result(value), "s") == value
    method, params = codec.decode_call(codec.encode_call("a.b", (value, 1)))
    assert (method, params) == ("a.b", (value, 1))
    beside: list[bytes] = []
    document = codec.encode_call("a.b", (value, 1), beside)
    assert codec.decode_call(*codec.split(codec.join(document, beside))) == ("a.b", (value, 1))
    beside = []
    document, bytes_beside = codec.split(codec.join(codec.encode_result(value, beside), beside))
    assert codec.decode_result(document, "s", bytes_beside) == value


def test_long_bytes_stand_beside_the_document_as_they_are() -> None:
    data = os.urandom(10_000)
    beside: list[bytes] = []
    document = codec.encode_call("a.b", ([data, b"short"],), beside)
    assert beside == [data]
    assert len(document) < 1000


@pytest.mark.parametrize(
    ("document", "beside"),
    [
        (codec.encode_call("a.b", ({"$none": 1},)).replace(b"$none", b"$bytes"), b""),
        (codec.encode_call("a.b", ({"$none": -1},)).replace(b"$none", b"$bytes"), b"abc"),
        (codec.encode_call("a.b", ({"$none": True},)).replace(b"$none", b"$bytes"), b"abc"),
        (codec.encode_call("a.b", ({"$none": "1"},)).replace(b"$none", b"$bytes"), b"abc"),
        (codec.encode_call("a.b", (1,)), b"abc"),
        (SIMPLE, b"abc"),
    ],
)
def test_bytes_beside_a_document_are_those_that_it_names(document: bytes, beside: bytes) -> None:
    with pytest.raises(codec.MalformedError, match=r"beside|bytes that"):
        codec.decode_call(document, memoryview(beside))


@pytest.mark.parametrize("body", [b"", b"5", b"\n", b"-1\n", b"4\nabc", b"9" * 20 + b"\nabc"])
def test_a_body_that_does_not_say_where_its_document_ends_is_refused(body: bytes) -> None:
    with pytest.raises(codec.MalformedError):
        codec.split(body)


@given(st.text(st.characters(categories=["L", "N"])), st.integers(-(2**31), 2**31 - 1), st.binary())
def test_plain_values_are_plain_to_the_standard_library(
    text: str, number: int, data: bytes
) -> None:
    document = codec.encode_result({"text": text, "number": number, "data": data, "none": None})
    ((value,), _method) = xmlrpc.client.loads(document, use_builtin_types=True)
    assert value == {"text": text, "number": number, "data": data, "none": None}


def test_the_standard_library_reads_sizes_beyond_two_gibibytes() -> None:
    ((value,), _method) = xmlrpc.client.loads(codec.encode_result(5 << 40))
    assert value == 5 << 40


BOMB = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
<methodCall><methodName>&b;</methodName><params></params></methodCall>"""


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        BOMB.decode().replace('"1.0"', '"1.0" encoding="utf-16"').encode("utf-16"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><methodCall><methodName>a</methodName></methodCall>',
        b"",
        b"<methodCall>",
        b"<methodCall></methodCall>",
        b"<methodCall><methodName>a</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
        b"<methodCall><methodName>a</methodName><params><param>" + b"<value><array><data>" * 5000,
        codec.encode_fault(1, "x"),
        b"\xff\xfe\x00",
    ],
)
def test_what_may_not_be_read_is_refused_with_one_error(document: bytes) -> None:
    with pytest.raises(codec.MalformedError):
        codec.decode_call(document)


CAUSE = errors.NotFoundError("http://h/a", 404, "Not Found")


@pytest.mark.parametrize(
    "error",
    [
        CAUSE,
        errors.NoSpaceError("u", "full", 10, 5, fits_ever=False),
        errors.AllMirrorsFailedError("u", (CAUSE, errors.StalledError("u", "silent"))),
        errors.BusyServerError("u", 503, "no", 2.5),
        errors.StoreFullError("/r", "full"),
        errors.TryAgainError("head:1", "stopping", 3.0),
    ],
)
def test_an_error_arrives_with_its_type_and_fields(error: errors.FscacheError) -> None:
    document = codec.encode_fault(codec.APPLICATION_FAULT, codec.fault_text(error))
    with pytest.raises(type(error)) as caught:
        codec.decode_result(document, "head:1")
    assert str(caught.value) == str(error)
    assert caught.value.to_fields().keys() == error.to_fields().keys()


def test_builtin_errors_of_a_contract_arrive_as_themselves() -> None:
    for error in (KeyError("name"), ValueError("bad"), TypeError("no"), TimeoutError("late")):
        back = faults.decode(faults.encode(error), "head:1")
        assert type(back) is type(error)
        assert back.args == error.args


@pytest.mark.parametrize(
    "packed",
    [
        {"code": "from-the-future", "message": "hm", "fields": {}},
        {"code": "not-found", "message": "hm", "fields": {"strange": 1}},
        {"code": "python.SystemExit", "message": "hm", "fields": {}},
        {"message": "hm"},
    ],
)
def test_an_unknown_error_is_a_remote_error_that_says_what_was_said(
    packed: dict[str, object],
) -> None:
    error = faults.decode(packed, "head:1")
    assert isinstance(error, errors.RemoteError)
    assert str(error) == "server head:1: hm"


@given(
    st.text("abc.XYZ_09", min_size=1),
    st.lists(st.text(st.one_of(st.characters(), st.sampled_from("&<>\r\n\t ;]%'\"é")))),
)
def test_a_simple_call_is_read_as_by_the_parser(name: str, texts: list[str]) -> None:
    try:
        document = xmlrpc.client.dumps(tuple(texts), name).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    try:
        params, method = codec._parse(document)
    except codec.MalformedError:
        with pytest.raises(codec.MalformedError):
            codec.decode_call(document)
    else:
        assert codec.decode_call(document) == (method, params)


@pytest.mark.parametrize(
    "change",
    [
        (b"<string>", b"<string><b/>"),
        (b"k1", b"k&#49;"),
        (b"k1", b"k]]>"),
        (b"k1", b"k\x00"),
        (b"k1", b"\xff"),
        (b"</methodCall>", b"</methodCall><x/>"),
        (b"<?xml version='1.0'?>", b"<?xml version='1.0' encoding='utf-16'?>"),
    ],
)
def test_what_is_almost_a_simple_call_goes_to_the_parser(change: tuple[bytes, bytes]) -> None:
    document = xmlrpc.client.dumps(("k1",), "get").encode().replace(*change)
    assert codec._SIMPLE_CALL.fullmatch(document) is None
