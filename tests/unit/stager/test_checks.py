"""Promises of stager.checks."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
import xxhash

from stager.checks import Promise, announced, hasher, parse_checksum, promises
from stager.errors import InvalidChecksumError

BODY = b"the body"


def b64(algorithm: str, body: bytes = BODY) -> str:
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()


def hexed(algorithm: str, body: bytes = BODY) -> str:
    return hashlib.new(algorithm, body).hexdigest()


@pytest.mark.parametrize("algorithm", sorted(hashlib.algorithms_guaranteed))
def test_every_fixed_length_algorithm_of_hashlib_is_understood(algorithm: str) -> None:
    made = hashlib.new(algorithm, BODY)
    if not made.digest_size:
        with pytest.raises(InvalidChecksumError, match="unknown"):
            parse_checksum(f"{algorithm}:00")
        return
    promise = parse_checksum(f"{algorithm}:{made.hexdigest().upper()}")
    assert promise == Promise(algorithm, made.hexdigest(), "caller")
    same = hasher(algorithm)
    same.update(BODY)
    assert same.hexdigest() == promise.expected


def test_xxh3_checksums_are_understood() -> None:
    assert parse_checksum(f"xxh3_128:{xxhash.xxh3_128_hexdigest(BODY)}").algorithm == "xxh3_128"
    assert parse_checksum(f"xxh3_64:{xxhash.xxh3_64_hexdigest(BODY)}").algorithm == "xxh3_64"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (hexed("sha256"), "not guessed"),
        ("", "not guessed"),
        ("crc32:00000000", "unknown algorithm 'crc32'"),
        (":00", "unknown algorithm ''"),
        ("sha256:", "hex digits"),
        ("sha256:xyz", "hex digits"),
        ("md5:" + "0" * 31, "32 hex digits, not 31"),
        ("sha256:" + hexed("md5"), "64 hex digits, not 32"),
        ("sha256:" + "٣" * 64, "hex digits"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidChecksumError, match=why):
        parse_checksum(text)


@pytest.mark.parametrize("wrong", [5, b"md5:00", ["md5:00"]])
def test_what_is_no_text_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a checksum is text"):
        parse_checksum(wrong)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("repr-digest", f"sha-256=:{b64('sha256')}:", [("sha256", "Repr-Digest")]),
        (
            "repr-digest",
            f"sha-512=:{b64('sha512')}:;x=1, md5=:{b64('md5')}:",
            [("sha512", "Repr-Digest"), ("md5", "Repr-Digest")],
        ),
        (
            "digest",
            f"SHA-256={b64('sha256')},md5={b64('md5')}",
            [("sha256", "Digest"), ("md5", "Digest")],
        ),
        ("digest", f"SHA={b64('sha1')}", [("sha1", "Digest")]),
        ("content-md5", b64("md5"), [("md5", "Content-MD5")]),
        ("x-goog-hash", f"crc32c=n03x6A==, md5={b64('md5')}", [("md5", "x-goog-hash")]),
        ("x-amz-checksum-sha256", b64("sha256"), [("sha256", "x-amz-checksum-sha256")]),
        ("x-amz-checksum-sha1", b64("sha1"), [("sha1", "x-amz-checksum-sha1")]),
    ],
)
def test_the_origins_own_promises_are_read(
    name: str, value: str, expected: list[tuple[str, str]]
) -> None:
    assert promises({name: value}, whole=True) == [
        Promise(algorithm, hexed(algorithm), source) for algorithm, source in expected
    ]


UNREADABLE = pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repr-digest", "sha-256=abc"),
        ("repr-digest", "sha-256=:!!!:"),
        ("repr-digest", f"sha-256=:{b64('md5')}:"),
        ("repr-digest", "unixsum=:AAAA:"),
        ("digest", "sha-256=not base64"),
        ("digest", "garbage"),
        ("content-md5", hexed("md5")),
        ("content-md5", "é"),
        ("x-goog-hash", "crc32c=n03x6A=="),
        ("x-amz-checksum-sha256", b64("sha256") + "-3"),
    ],
)


@UNREADABLE
def test_a_promise_that_does_not_parse_is_as_if_not_sent(name: str, value: str) -> None:
    assert promises({name: value}, whole=True) == []


@UNREADABLE
def test_a_sender_is_told_that_its_promise_cannot_be_checked(name: str, value: str) -> None:
    with pytest.raises(InvalidChecksumError, match=f"(?i){name} is malformed"):
        announced({name: value})


@pytest.mark.parametrize(
    "value",
    [
        f"sha-256={b64('sha256')}",
        "sha-256=:AAAA:",
        f"md5=:{b64('md5')}:, sha-256=:AAAA:",
        f"md5=:{b64('md5')}:, sha-256",
        "",
    ],
)
def test_one_promise_that_can_be_checked_does_not_excuse_another(value: str) -> None:
    with pytest.raises(InvalidChecksumError, match="Repr-Digest is malformed"):
        announced({"repr-digest": value})


def test_an_unknown_algorithm_is_passed_over_beside_a_known_one() -> None:
    value = f"crc32c=:AAAAAA==:, md5=:{b64('md5')}:"
    assert announced({"repr-digest": value}) == [Promise("md5", hexed("md5"), "Repr-Digest")]
    assert announced({"content-type": "text/plain"}) == []


def test_a_digest_of_a_partial_answer_is_not_taken_for_the_whole() -> None:
    headers = {
        "digest": f"md5={b64('md5')}",
        "content-md5": b64("md5"),
        "x-amz-checksum-sha256": b64("sha256"),
        "repr-digest": f"md5=:{b64('md5')}:",
    }
    assert [promise.source for promise in promises(headers, whole=False)] == ["Repr-Digest"]


def test_the_hash_of_a_stored_gzip_is_not_taken_for_the_unpacked_body() -> None:
    headers = {"x-goog-hash": f"md5={b64('md5')}", "x-goog-stored-content-encoding": "gzip"}
    assert promises(headers, whole=True) == []
    assert promises({**headers, "content-encoding": "gzip"}, whole=True) != []
