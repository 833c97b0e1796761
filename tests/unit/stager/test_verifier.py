"""Promises of stager.verifier."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from typing import TYPE_CHECKING

import pytest
import xxhash

from stager import verifier as module
from stager.verifier import INLINE, Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "body", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)
    assert not [one for one in threading.enumerate() if one.name == "stager-verifier"]


def feed(verifier: Verifier, fd: int, body: bytes, step: int, handed: int = 0) -> None:
    """Feed a body; in `handed` of four steps as bytes, else in a buffer that is used again."""
    buffer = bytearray(step)
    for number, at in enumerate(range(0, len(body), step)):
        piece = body[at : at + step]
        os.write(fd, piece)
        if number % 4 < handed:
            verifier.update(piece)
        else:
            buffer[: len(piece)] = piece
            verifier.update(memoryview(buffer)[: len(piece)])


def feed_and_finish(verifier: Verifier) -> None:
    for _ in range(4):
        verifier.update(memoryview(b"x" * INLINE))
    verifier.finish()


def expected(body: bytes) -> dict[str, str]:
    return {
        "xxh3_128": xxhash.xxh3_128_hexdigest(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "md5": hashlib.md5(body).hexdigest(),
    }


@pytest.mark.parametrize("size", [0, 1, 4096, INLINE, INLINE + 1, 5 * INLINE + 17])
@pytest.mark.parametrize("step", [4096, 300_000, 3 * INLINE])
@pytest.mark.parametrize("handed", [0, 1, 3, 4])
def test_all_digests_are_right_at_every_size(fd: int, size: int, step: int, handed: int) -> None:
    body = random.Random(size).randbytes(size)
    verifier = Verifier({"sha256", "md5", "xxh3_128"}, fd)
    feed(verifier, fd, body, step, handed)
    assert verifier.finish() == expected(body)


@pytest.mark.parametrize("algorithms", [(), ("sha256", "md5")])
@pytest.mark.parametrize("first", [0, 8192, 2 * INLINE])
@pytest.mark.parametrize("size", [1, 300_000, 5 * INLINE + 17])
def test_bytes_that_are_in_the_file_only_are_hashed_there(
    fd: int, algorithms: tuple[str, ...], first: int, size: int
) -> None:
    body = random.Random(size).randbytes(first + size + 1000)
    verifier = Verifier(algorithms, fd)
    feed(verifier, fd, body[:first], 65536)
    for at in range(first, first + size, 300_000):
        piece = body[at : min(at + 300_000, first + size)]
        os.write(fd, piece)
        verifier.advance(len(piece))
    feed(verifier, fd, body[first + size :], 100, handed=2)
    wanted = {"xxh3_128", *algorithms}
    assert verifier.finish() == {
        name: hexa for name, hexa in expected(body).items() if name in wanted
    }


@pytest.mark.parametrize("algorithms", [(), ("md5",)])
def test_bytes_that_are_not_in_the_file_are_an_error(fd: int, algorithms: tuple[str, ...]) -> None:
    verifier = Verifier(algorithms, fd)
    os.write(fd, b"x" * INLINE)
    with pytest.raises(OSError, match="ends at"):  # noqa: PT012 - here or there
        verifier.advance(2 * INLINE)
        verifier.finish()


@pytest.mark.parametrize("kept", [1, 1000, INLINE, 3 * INLINE + 5])
@pytest.mark.parametrize("more", [0, 1000, 2 * INLINE])
@pytest.mark.parametrize("handed", [0, 2, 4])
def test_what_is_kept_is_hashed_again(fd: int, kept: int, more: int, handed: int) -> None:
    body = random.Random(kept).randbytes(kept + more)
    os.write(fd, body[:kept])
    verifier = Verifier({"sha256", "md5"}, fd, kept)
    feed(verifier, fd, body[kept:], 65536, handed)
    assert verifier.finish() == expected(body)


def test_only_the_digest_needs_no_thread(fd: int) -> None:
    before = threading.active_count()
    verifier = Verifier((), fd)
    feed(verifier, fd, b"x" * (4 * INLINE), INLINE)
    assert threading.active_count() == before
    assert verifier.finish().keys() == {"xxh3_128"}


@pytest.mark.parametrize("handed", [0, 4])
def test_the_writer_waits_for_a_follower_that_falls_behind(
    fd: int, monkeypatch: pytest.MonkeyPatch, handed: int
) -> None:
    monkeypatch.setattr(module, "LEAD", 2 * INLINE)
    monkeypatch.setattr(module, "HANDED", 2 * INLINE)
    body = random.Random(1).randbytes(12 * INLINE)
    verifier = Verifier({"md5"}, fd)
    feed(verifier, fd, body, INLINE, handed)
    assert verifier.finish()["md5"] == hashlib.md5(body).hexdigest()


@pytest.mark.parametrize("handed", [0, 4])
def test_abandoning_ends_the_thread(fd: int, handed: int) -> None:
    verifier = Verifier({"md5"}, fd)
    feed(verifier, fd, b"x" * (3 * INLINE), INLINE, handed)
    verifier.abandon()


def test_a_file_that_was_shortened_is_an_error_not_a_hang(fd: int) -> None:
    verifier = Verifier({"md5"}, fd)
    feed(verifier, fd, b"x" * (2 * INLINE), INLINE)
    os.ftruncate(fd, 0)
    with pytest.raises(OSError, match="ends at"):
        feed_and_finish(verifier)


def test_it_says_what_it_can_go_on_with(fd: int) -> None:
    verifier = Verifier({"md5"}, fd)
    feed(verifier, fd, b"x" * 10, 10)
    assert verifier.covers({"md5", "xxh3_128"}, 10)
    assert not verifier.covers({"md5"}, 9)
    assert not verifier.covers({"sha256"}, 10)
