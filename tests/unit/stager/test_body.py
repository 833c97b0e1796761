"""Promises of stager.body."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
import signal
from typing import TYPE_CHECKING, Any

import pytest
import xxhash

from stager.body import NOTE_FROM, Body
from stager.destination import Validator
from stager.errors import DestinationError, LengthError, NoSpaceError
from stager.request import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.stager.directory import DirectoryClaim, DirectoryDestination

TAG = Validator('"tag"', None, None, "mirror")


@pytest.fixture
def claim(destination: DirectoryDestination) -> Iterator[DirectoryClaim]:
    made = destination.claim("http://h/a")
    assert made is not None
    yield made
    made.release(keep=False)


@pytest.fixture
def body(claim: DirectoryClaim, destination: DirectoryDestination) -> Iterator[Body]:
    made = Body("http://h/a", claim, destination, Meter(lambda: 0.0), promised=False)
    yield made
    made.close(keep=False)


def test_more_than_was_announced_is_refused_before_it_is_written(
    body: Body, claim: DirectoryClaim
) -> None:
    body.begin(0, 10, TAG, ())
    body.write(b"12345")
    with pytest.raises(LengthError):
        body.write(b"678901")
    assert os.fstat(claim.fd).st_size == 5


def test_less_than_was_announced_is_no_end(body: Body) -> None:
    body.begin(0, 10, TAG, ())
    body.write(b"12345")
    with pytest.raises(LengthError) as caught:
        body.finish()
    assert (caught.value.announced, caught.value.received) == (10, 5)


def test_short_writes_are_completed(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    body.begin(0, 10, TAG, {"md5"})
    body.write(memoryview(b"1234567890"))
    monkeypatch.undo()
    assert body.finish()["md5"] == "e807f1fcf82d132f9bb018ca6738a19f"


def test_a_file_size_limit_is_no_space_and_never_will_be(body: Body) -> None:
    body.begin(0, 100_000, TAG, ())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            body.write(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    error = body.translated(caught.value)
    assert isinstance(error, NoSpaceError)
    assert not error.fits_ever


@pytest.fixture
def piped() -> Iterator[Callable[[bytes], int]]:
    """Put bytes into a pipe, which holds 65536; return where they come out."""
    end, entry = os.pipe()

    def put(data: bytes) -> int:
        assert os.write(entry, data) == len(data)
        return end

    yield put
    os.close(end)
    os.close(entry)


@pytest.mark.parametrize("algorithms", [(), ("md5",)])
@pytest.mark.parametrize("flags", [0, os.O_APPEND])  # which the kernel does not splice to
def test_what_waits_in_a_pipe_gets_into_the_file_and_the_hashes(
    body: Body,
    claim: DirectoryClaim,
    piped: Callable[[bytes], int],
    algorithms: tuple[str, ...],
    *,
    flags: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stager.body.PIECE", 7000)
    fcntl.fcntl(claim.fd, fcntl.F_SETFL, flags)
    data = os.urandom(60_010)
    body.begin(0, len(data), TAG, algorithms)
    body.write(data[:10])
    body.write_from(piped(data[10:40_010]), 40_000)
    assert body.at == 40_010
    body.write_from(piped(data[40_010:]), 20_000)
    digests = body.finish()
    assert digests.pop("xxh3_128") == xxhash.xxh3_128_hexdigest(data)
    assert digests == {name: hashlib.new(name, data).hexdigest() for name in algorithms}
    assert os.pread(claim.fd, 70_000, 0) == data


def test_more_in_the_pipe_than_was_announced_is_refused_before_it_is_written(
    body: Body, claim: DirectoryClaim, piped: Callable[[bytes], int]
) -> None:
    body.begin(0, 10, TAG, ())
    with pytest.raises(LengthError):
        body.write_from(piped(b"12345678901"), 11)
    assert os.fstat(claim.fd).st_size == 0


def test_a_pipe_that_does_not_fit_into_the_file_is_no_space(
    body: Body, piped: Callable[[bytes], int]
) -> None:
    body.begin(0, 60_000, TAG, ())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            body.write_from(piped(b"x" * 60_000), 60_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert isinstance(body.translated(caught.value), NoSpaceError)
    assert body.at <= 5000


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EFBIG, NoSpaceError),
        (errno.EIO, DestinationError),
        (errno.EROFS, DestinationError),
        (errno.EACCES, DestinationError),
    ],
)
def test_errors_of_the_file_are_translated(body: Body, number: int, kind: type) -> None:
    error: Any = body.translated(OSError(number, "x"))
    assert type(error) is kind
    assert error.why == os.strerror(number)


@pytest.mark.parametrize(
    ("total", "validator", "noted"),
    [
        (NOTE_FROM, TAG, True),
        (None, TAG, True),
        (NOTE_FROM - 1, TAG, False),
        (NOTE_FROM, Validator('W/"weak"', None, None, "mirror"), True),
        (None, Validator('W/"weak"', None, None, "mirror"), False),
    ],
)
def test_only_what_is_worth_resuming_is_noted(
    body: Body,
    destination: DirectoryDestination,
    total: int | None,
    validator: Validator,
    noted: bool,
) -> None:
    body.begin(0, total, validator, ())
    assert any(name.endswith(".note") for name in destination.leftovers()) is noted
    assert body.keepable is noted


@pytest.mark.parametrize(
    ("validator", "mirror", "resumed"),
    [
        (TAG, "mirror", (5, '"tag"')),
        (TAG, "other", None),
        (Validator('"tag"', None, 5, "mirror"), "mirror", (4, '"tag"')),
        (Validator('"tag"', None, 4, "mirror"), "mirror", None),
        (Validator('W/"weak"', "date", None, "mirror"), "mirror", (5, "date")),
        (Validator(None, None, None, "mirror"), "mirror", None),
        (Validator('"tag"'), "mirror", None),
    ],
)
def test_resuming_needs_the_same_mirror_and_a_strong_validator(
    body: Body, claim: DirectoryClaim, validator: Validator, mirror: str, resumed: object
) -> None:
    body.begin(0, None, validator, ())
    body.write(b"12345")
    assert body.resume_from(mirror) == resumed
    assert body.at == os.fstat(claim.fd).st_size == (5 if resumed else 0)


def test_the_last_byte_asked_for_again_takes_its_old_place(
    body: Body, claim: DirectoryClaim
) -> None:
    body.begin(0, 5, Validator('"tag"', None, 5, "mirror"), {"md5"})
    body.write(b"12345")
    assert body.resume_from("mirror") == (4, '"tag"')
    body.begin(4, 5, TAG, {"md5"})
    body.write(b"5")
    assert body.finish()["md5"] == "827ccb0eea8a706c4c34a16891f84e7b"
    assert os.pread(claim.fd, 10, 0) == b"12345"
