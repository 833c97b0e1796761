"""What arrives, and what bad servers and bad luck get: over both HTTP transports."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import random
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import xxhash

from stager.destination import Validator
from stager.errors import (
    AllMirrorsFailedError,
    AuthenticationError,
    BusyServerError,
    ChecksumError,
    ConnectionFailedError,
    HTTPStatusError,
    InvalidChecksumError,
    InvalidURLError,
    LengthError,
    NoSpaceError,
    NotFoundError,
    StalledError,
)
from stager.retry import RetryPolicy
from stager.transports.base import Timeouts
from tests.support.origin import MODIFIED, Origin, Page, failing

if TYPE_CHECKING:
    from collections.abc import Callable

    from stager.request import FetchRequest
    from stager.service import FetchService
    from tests.unit.stager.directory import DirectoryDestination

Make = "Callable[..., FetchService]"
BODY = random.Random(1).randbytes(3_000_000)
SMALL = BODY[:4096]
SOON = 30
BARE: dict[str, Any] = {"etag": 'W/"weak"', "last_modified": None}
"""A server that says nothing by which halves could be told to belong together."""


def read(request: FetchRequest) -> bytes:
    with open(request.result(SOON), "rb") as file:
        return file.read()


def ranges(origin: Origin, path: str) -> list[str | None]:
    return [seen.headers.get("range") for seen in origin.seen(path)]


def sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


# --- what arrives ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096, 65536, 3_000_000])
def test_a_body_arrives_whole_and_is_described(
    origin: Origin, service: FetchService, destination: DirectoryDestination, size: int
) -> None:
    url = origin.add("/a", Page(BODY[:size], etag='"tag"'))
    request = service.submit(url)
    assert read(request) == BODY[:size]
    (staged,) = destination.staged
    assert (staged.url, staged.fetched_from, staged.size) == (url, url, size)
    assert staged.digest == xxhash.xxh3_128_hexdigest(BODY[:size])
    assert (staged.etag, staged.last_modified, staged.checksums) == ('"tag"', MODIFIED, {})
    assert (request.state, request.progress[:2]) == ("done", (size, size))
    assert (destination.leftovers(), destination.reserved) == ([], 0)


@pytest.mark.parametrize("options", [{"chunked": True}, {"announced": False}])
def test_a_body_of_unknown_length_arrives(
    origin: Origin, service: FetchService, destination: DirectoryDestination, options: Any
) -> None:
    assert read(service.submit(origin.add("/a", Page(BODY, **options)))) == BODY
    assert destination.reserved == 0


def test_bytes_are_kept_as_served_and_identity_is_asked_for(
    origin: Origin, service: FetchService
) -> None:
    packed = gzip.compress(SMALL)
    url = origin.add("/a.gz", Page(packed, headers={"Content-Encoding": "gzip"}))
    assert read(service.submit(url, sha256(packed))) == packed
    (seen,) = origin.seen("/a.gz")
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["user-agent"] == "fscache/test"


def test_non_ascii_urls_go_out_encoded(origin: Origin, service: FetchService) -> None:
    origin.add("/%C3%BC%20x?q=%C3%9F", SMALL)
    assert read(service.submit(origin.url("/ü%20x?q=ß"))) == SMALL


def test_progress_is_seen_while_it_runs(origin: Origin, service: FetchService) -> None:
    step, passed = threading.Semaphore(2), []
    page = Page(BODY, step=1_000_000, gate=lambda: passed.append(step.acquire()))
    request = service.submit(origin.add("/a", page))
    origin.wait_seen("/a")
    deadline = threading.Event()
    for _ in range(2000):
        if request.progress.done == 2_000_000:
            break
        deadline.wait(0.01)
    assert request.progress[:2] == (2_000_000, 3_000_000)
    assert (request.state, request.running()) == ("running", True)
    step.release()
    assert read(request) == BODY
    assert request.progress.rate > 0


# --- checksums -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "checksum",
    [
        sha256(BODY),
        "md5:" + hashlib.md5(BODY).hexdigest(),
        "xxh3_128:" + xxhash.xxh3_128_hexdigest(BODY),
        "blake2b:" + hashlib.blake2b(BODY).hexdigest().upper(),
    ],
)
def test_the_callers_checksum_is_verified_and_remembered(
    origin: Origin, service: FetchService, destination: DirectoryDestination, checksum: str
) -> None:
    assert read(service.submit(origin.add("/a", BODY), checksum)) == BODY
    algorithm, _, digits = checksum.partition(":")
    assert destination.staged[0].checksums == {algorithm: digits.lower()}


def test_a_wrong_checksum_is_an_error_that_leaves_nothing_and_is_not_tried_again(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    error = service.submit(origin.add("/a", BODY), sha256(b"other")).exception(SOON)
    assert isinstance(error, ChecksumError)
    assert (error.algorithm, error.source) == ("sha256", "caller")
    assert sha256(BODY).endswith(error.actual)
    assert len(origin.seen("/a")) == 1
    assert (destination.leftovers(), destination.staged) == ([], [])


def test_an_error_page_with_status_200_is_found_out_by_the_checksum(
    origin: Origin, service: FetchService
) -> None:
    page = Page(b"<html>Please log in</html>", headers={"Content-Type": "text/html"})
    request = service.submit(origin.add("/a", page), sha256(SMALL))
    assert isinstance(request.exception(SOON), ChecksumError)


def test_the_origins_own_checksum_is_verified(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    right = base64.b64encode(hashlib.md5(SMALL).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    good = origin.add("/good", Page(SMALL, headers={"Content-MD5": right}))
    bad = origin.add("/bad", Page(SMALL, headers={"x-goog-hash": f"crc32c=x,md5={wrong}"}))
    assert read(service.submit(good)) == SMALL
    assert destination.staged[0].checksums == {"md5": hashlib.md5(SMALL).hexdigest()}
    error = service.submit(bad).exception(SOON)
    assert isinstance(error, ChecksumError)
    assert error.source == "x-goog-hash"


def test_a_wrong_checksum_goes_on_to_the_next_mirror(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    first, second = origin.add("/bad", BODY[::-1]), origin.add("/good", BODY)
    assert read(service.submit([first, second], sha256(BODY))) == BODY
    (staged,) = destination.staged
    assert (staged.url, staged.fetched_from) == (first, second)
    assert ranges(origin, "/good") == [None]


# --- length ----------------------------------------------------------------------------------


def test_a_body_shorter_than_announced_is_an_error_after_the_retries(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(SMALL, announce=5000, etag=None, last_modified=None))
    error = service.submit(url).exception(SOON)
    assert isinstance(error, LengthError)
    assert (error.announced, error.received) == (5000, 4096)
    assert len(origin.seen("/a")) == 3
    assert destination.leftovers() == []


@pytest.mark.parametrize("length", ["4096x", "-1", "4096, 5000", ""])
def test_a_length_that_is_none_is_an_error(
    origin: Origin, service: FetchService, destination: DirectoryDestination, length: str
) -> None:
    headers = {"Content-Length": length}
    url = origin.add("/a", Page(SMALL, announced=False, headers=headers))
    error = service.submit(url).exception(SOON)
    assert isinstance(error, ConnectionFailedError)
    assert destination.leftovers() == []
    assert read(service.submit([url, origin.add("/good", Page(SMALL))])) == SMALL


@pytest.mark.parametrize(("size", "less"), [(4096, 96), (3_000_000, 1)])
def test_no_byte_beyond_the_announced_length_gets_into_the_file(
    origin: Origin, service: FetchService, destination: DirectoryDestination, size: int, less: int
) -> None:
    url = origin.add("/a", Page(BODY[:size], announce=size - less))
    request = service.submit(url)
    error = request.exception(SOON)
    assert isinstance(error, LengthError)
    assert error.announced == size - less < error.received
    assert destination.leftovers() == []


def test_a_chunked_body_that_breaks_off_is_not_taken_for_whole(
    origin: Origin, service: FetchService
) -> None:
    url = origin.add("/a", Page(BODY, chunked=True, cut_at=500_000), Page(BODY, chunked=True))
    assert read(service.submit(url)) == BODY
    url = origin.add("/b", Page(SMALL, chunked=True, cut_at=1000, etag=None, last_modified=None))
    assert isinstance(service.submit(url).exception(SOON), ConnectionFailedError)


# --- resume ----------------------------------------------------------------------------------


@pytest.mark.parametrize("checksum", [None, sha256(BODY)])
def test_a_broken_body_is_resumed_where_it_broke(
    origin: Origin, service: FetchService, checksum: str | None
) -> None:
    url = origin.add(
        "/a", Page(BODY, cut_at=1_000_000), Page(BODY, cut_at=1_000_000), Page(BODY, etag="")
    )
    assert read(service.submit(url, checksum)) == BODY
    assert ranges(origin, "/a") == [None, "bytes=1000000-", "bytes=2000000-"]
    etag = f'"{hashlib.md5(BODY).hexdigest()[:16]}"'
    assert [seen.headers.get("if-range") for seen in origin.seen("/a")] == [None, etag, etag]


def test_last_modified_serves_for_resuming_where_there_is_no_strong_etag(
    origin: Origin, service: FetchService
) -> None:
    page = {"etag": 'W/"weak"', "last_modified": MODIFIED}
    url = origin.add("/a", Page(BODY, cut_at=1_000_000, **page), Page(BODY, **page))
    assert read(service.submit(url)) == BODY
    assert origin.seen("/a")[1].headers["if-range"] == MODIFIED


def test_without_a_validator_nothing_is_resumed(origin: Origin, service: FetchService) -> None:
    url = origin.add("/a", Page(BODY, cut_at=1_000_000, **BARE), Page(BODY, **BARE))
    assert read(service.submit(url)) == BODY
    assert ranges(origin, "/a") == [None, None]


def test_with_a_checksum_it_is_resumed_without_a_validator(
    origin: Origin, service: FetchService
) -> None:
    url = origin.add("/a", Page(BODY, cut_at=1_000_000, **BARE), Page(BODY, **BARE))
    assert read(service.submit(url, sha256(BODY))) == BODY
    assert ranges(origin, "/a") == [None, "bytes=1000000-"]
    assert "if-range" not in origin.seen("/a")[1].headers


def test_halves_of_two_files_do_not_pass_the_checksum_and_are_fetched_anew(
    origin: Origin, service: FetchService
) -> None:
    new = BODY[::-1]
    url = origin.add("/a", Page(BODY, cut_at=1_000_000, **BARE), Page(new, **BARE))
    assert read(service.submit(url, sha256(new))) == new
    assert ranges(origin, "/a") == [None, "bytes=1000000-", None]


def test_what_was_left_without_a_validator_is_dropped_where_no_checksum_is_given(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(BODY, **BARE))
    leave(destination, url, BODY[::-1][:2_000_000], Validator(None, None, len(BODY), source(url)))
    assert read(service.submit(url)) == BODY
    assert ranges(origin, "/a") == [None]


@pytest.mark.parametrize(
    ("chunked", "says"), [(False, {}), (True, {}), (False, {"etag": None, "last_modified": None})]
)
def test_another_process_resumes_what_one_left(
    origin: Origin,
    make_service: Callable[..., FetchService],
    destination: DirectoryDestination,
    chunked: bool,
    says: dict[str, str | None],
) -> None:
    url = origin.add(
        "/a", Page(BODY, stall_at=2_000_000, chunked=chunked, **says), Page(BODY, **says)
    )
    first = make_service()
    request = first.submit(url, sha256(BODY))
    wait_for(lambda: request.progress.done == 2_000_000)
    origin.drop_connections()  # cancelling alone is noticed at the next byte, which never comes
    request.cancel()
    first.close(cancel=True)
    assert len(destination.leftovers()) == 2
    assert read(make_service().submit(url, sha256(BODY))) == BODY
    assert ranges(origin, "/a")[-1] == "bytes=2000000-"
    assert destination.leftovers() == []


def test_what_is_left_without_a_checksum_is_resumed_by_who_has_one(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    url = origin.add("/a", Page(BODY, cut_at=2_000_000, **BARE), Page(BODY, **BARE))
    first = make_service(policy=RetryPolicy(attempts=1))
    assert isinstance(first.submit(url).exception(SOON), LengthError)
    first.close()
    assert read(make_service().submit(url, sha256(BODY))) == BODY
    assert ranges(origin, "/a")[-1] == "bytes=2000000-"


def test_a_small_body_leaves_nothing_to_resume(
    origin: Origin, make_service: Callable[..., FetchService], destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(SMALL, cut_at=1000))
    assert isinstance(make_service().submit(url).exception(SOON), LengthError)
    assert destination.leftovers() == []


def test_a_body_that_was_complete_but_not_committed_costs_one_byte(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(BODY, etag='"1"'))
    leave(destination, url, BODY, Validator('"1"', None, len(BODY), source(url)))
    assert read(service.submit(url, sha256(BODY))) == BODY
    assert ranges(origin, "/a") == ["bytes=2999999-"]


def test_a_file_that_changed_between_the_halves_starts_over(
    origin: Origin, service: FetchService
) -> None:
    new = BODY[::-1]
    url = origin.add("/a", Page(BODY, cut_at=1_000_000), new)
    assert read(service.submit(url)) == new
    assert ranges(origin, "/a") == [None, "bytes=1000000-"]


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"other"'},
        {"Content-Range": "bytes 999999-2999999/3000000"},
        {"Content-Range": "bytes 1000000-2999999/4000000"},
        {"Content-Range": "nonsense"},
        {"Last-Modified": "Thu, 02 Jan 2025 00:00:00 GMT"},
    ],
)
def test_a_server_that_ignores_if_range_or_the_span_does_not_get_halves_glued(
    origin: Origin, service: FetchService, headers: dict[str, str]
) -> None:
    lying = Page(BODY[::-1], etag=None, headers=headers)
    fresh = Page(BODY, cut_at=1_000_000, etag='"one"')
    lying_about = Page(BODY[::-1], etag='"one"', headers=headers)
    url = origin.add("/a", fresh, lying_about, Page(BODY, etag='"two"'))
    assert read(service.submit(url)) == BODY
    assert ranges(origin, "/a") == [None, "bytes=1000000-", None]
    assert lying.body != BODY


def test_a_refused_range_starts_over(origin: Origin, service: FetchService) -> None:
    url = origin.add("/a", Page(BODY, cut_at=1_000_000), failing(416), BODY)
    assert read(service.submit(url)) == BODY
    assert ranges(origin, "/a") == [None, "bytes=1000000-", None]


def test_a_server_without_ranges_starts_over(origin: Origin, service: FetchService) -> None:
    url = origin.add("/a", Page(BODY, cut_at=1_000_000, ranges=False), Page(BODY, ranges=False))
    assert read(service.submit(url)) == BODY


def test_a_partial_answer_nobody_asked_for_is_an_error(
    origin: Origin, service: FetchService
) -> None:
    page = Page(SMALL, status=206, headers={"Content-Range": "bytes 0-4095/9999"})
    assert isinstance(service.submit(origin.add("/a", page)).exception(SOON), HTTPStatusError)


def test_a_damaged_partial_file_is_found_out_by_the_checksum_and_fetched_anew(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(BODY, etag='"1"'))
    leave(destination, url, b"\0" * 1_500_000, Validator('"1"', None, len(BODY), source(url)))
    assert read(service.submit(url, sha256(BODY))) == BODY
    assert ranges(origin, "/a") == ["bytes=1500000-", None]


def test_halves_of_two_mirrors_are_never_glued(origin: Origin, service: FetchService) -> None:
    first = origin.add("/one", Page(BODY[::-1], cut_at=1_500_000, etag='"same"'), failing(404))
    second = origin.add("/two", Page(BODY, etag='"same"'))
    assert read(service.submit([first, second])) == BODY
    assert ranges(origin, "/two") == [None]


def test_a_line_that_breaks_every_megabyte_brings_a_large_file(
    origin: Origin, service: FetchService
) -> None:
    body = BODY * 3
    url = origin.add("/a", Page(body, cut_at=1 << 20))
    assert read(service.submit(url)) == body
    assert len(origin.seen("/a")) == 9


# --- statuses and connections ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, HTTPStatusError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, NotFoundError),
        (410, NotFoundError),
        (204, HTTPStatusError),
        (304, HTTPStatusError),
        (408, BusyServerError),
        (429, BusyServerError),
        (500, BusyServerError),
        (503, BusyServerError),
    ],
)
def test_each_status_becomes_its_error_after_its_attempts(
    origin: Origin,
    service: FetchService,
    destination: DirectoryDestination,
    status: int,
    kind: type[HTTPStatusError],
) -> None:
    page = failing(status) if status not in {204, 304} else Page(status=status, announced=True)
    error = service.submit(origin.add("/a", page)).exception(SOON)
    assert type(error) is kind
    assert isinstance(error, HTTPStatusError)
    assert (error.status, error.url) == (status, origin.url("/a"))
    assert len(origin.seen("/a")) == (3 if kind is BusyServerError else 1)
    assert destination.leftovers() == []


def test_a_busy_server_is_asked_again_and_its_wish_is_in_the_error(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    policy = RetryPolicy(attempts=2, base=0.01, retry_after_cap=5.0)
    service = make_service(policy=policy)
    good = origin.add("/a", failing(429, Retry_After="0"), failing(503), SMALL)
    assert isinstance(service.submit(good).exception(SOON), BusyServerError)
    assert read(service.submit(good)) == SMALL
    far = origin.add("/b", failing(503, Retry_After="3600"))
    error = service.submit(far).exception(SOON)
    assert isinstance(error, BusyServerError)
    assert error.retry_after == 3600.0
    assert len(origin.seen("/b")) == 1


def test_a_reset_connection_is_tried_again(origin: Origin, service: FetchService) -> None:
    url = origin.add("/a", Page(SMALL, reset_at=0), Page(SMALL, reset_at=100), SMALL)
    assert read(service.submit(url)) == SMALL


def test_a_kept_connection_that_the_server_closed_costs_nothing(
    origin: Origin, service: FetchService
) -> None:
    assert read(service.submit(origin.add("/a", SMALL))) == SMALL
    origin.drop_connections()
    assert read(service.submit(origin.add("/b", SMALL))) == SMALL


def test_nobody_listening_is_a_typed_error(service: FetchService) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a?token=s3cret"
        error = service.submit(url).exception(SOON)
    assert type(error) is ConnectionFailedError
    assert "s3cret" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_server_that_speaks_no_http_is_a_typed_error(service: FetchService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert isinstance(service.submit(url).exception(SOON), ConnectionFailedError)
        thread.join()


@pytest.mark.parametrize(("body", "stall_at"), [(SMALL, 0), (SMALL, 1000), (BODY, 2_000_000)])
def test_a_silent_server_is_given_up(
    origin: Origin, make_service: Callable[..., FetchService], body: bytes, stall_at: int
) -> None:
    service = make_service(timeouts=Timeouts(connect=5, stall=1), policy=RetryPolicy(attempts=1))
    url = origin.add("/a", Page(body, stall_at=stall_at))
    error = service.submit(url).exception(SOON)
    assert type(error) is StalledError
    assert error.url == url


# --- space -----------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_before_its_first_byte(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    destination.capacity = 1000
    url = origin.add("/a", SMALL)
    error = service.submit([url, origin.add("/mirror", SMALL)]).exception(SOON)
    assert isinstance(error, NoSpaceError)
    assert (error.needed, error.fits_ever) == (4096, False)
    assert (len(origin.seen("/a")), origin.seen("/mirror")) == (1, [])
    assert (destination.leftovers(), destination.reserved) == ([], 0)


def test_a_body_of_unknown_length_reserves_as_it_grows(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    destination.capacity = 20 << 20
    body = bytes(33 << 20)  # 16 MiB, 16 more, and then 32 at once
    error = service.submit(origin.add("/a", Page(body, chunked=True))).exception(SOON)
    assert isinstance(error, NoSpaceError)
    assert (destination.leftovers(), destination.reserved) == ([], 0)


@pytest.mark.parametrize("body", [SMALL, BODY])
def test_a_full_disk_is_an_error_at_once_that_leaves_nothing(
    origin: Origin,
    service: FetchService,
    destination: DirectoryDestination,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
) -> None:
    real = destination.claim

    def on_a_full_disk(url: str) -> Any:
        claim = real(url)
        assert claim is not None
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, claim.fd)
        os.close(full)
        return claim

    monkeypatch.setattr(destination, "claim", on_a_full_disk)
    error = service.submit(origin.add("/a", body)).exception(SOON)
    assert isinstance(error, NoSpaceError)
    assert error.fits_ever
    assert len(origin.seen("/a")) == 1
    assert (destination.leftovers(), destination.reserved) == ([], 0)


# --- mirrors ---------------------------------------------------------------------------------


def test_the_next_mirror_is_asked_when_one_fails(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    mirrors = [origin.add("/1", failing(404)), origin.add("/2", failing(503)), origin.url("/3")]
    origin.add("/3", SMALL)
    request = service.submit(mirrors)
    assert read(request) == SMALL
    assert request.urls == tuple(mirrors)
    assert destination.staged[0].url == mirrors[0]
    assert destination.staged[0].fetched_from == mirrors[2]


def test_when_all_mirrors_fail_the_error_holds_each_ones(
    origin: Origin, service: FetchService
) -> None:
    mirrors = [origin.add("/1", failing(404)), origin.add("/2", failing(503))]
    error = service.submit(mirrors).exception(SOON)
    assert isinstance(error, AllMirrorsFailedError)
    assert [type(cause) for cause in error.causes] == [NotFoundError, BusyServerError]
    assert str(error) == f"all mirrors failed: {error.causes[0]}; {error.causes[1]}"
    assert (len(origin.seen("/1")), len(origin.seen("/2"))) == (1, 3)


def test_rewrite_rules_choose_the_mirrors_and_not_the_name(
    origin: Origin, make_service: Callable[..., FetchService], destination: DirectoryDestination
) -> None:
    origin.add("/site/a", SMALL)

    def rewrite(url: str) -> list[str]:
        return [url.replace("http://far.example", origin.url("/site")), url]

    service = make_service(rewrite=rewrite)
    assert read(service.submit("http://far.example/a")) == SMALL
    assert destination.staged[0].url == "http://far.example/a"
    assert destination.staged[0].fetched_from == origin.url("/site/a")


# --- revalidation ----------------------------------------------------------------------------


def test_not_modified_keeps_what_is_there(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(SMALL, etag='"1"'))
    path = service.submit(url).result(SOON)
    known = Validator('"1"', MODIFIED, len(SMALL))
    assert service.submit(url, revalidate=known).result(SOON) == path
    assert origin.seen("/a")[-1].headers["if-none-match"] == '"1"'
    assert [(one.url, one.etag) for one in destination.touched] == [(url, '"1"')]
    assert (len(destination.staged), destination.leftovers()) == (1, [])


def test_last_modified_serves_for_revalidation_too(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(SMALL, etag=None))
    service.submit(url).result(SOON)
    service.submit(url, revalidate=Validator(None, MODIFIED)).result(SOON)
    assert origin.seen("/a")[-1].headers["if-modified-since"] == MODIFIED
    assert len(destination.touched) == 1


def test_what_was_modified_is_fetched(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(SMALL, etag='"1"'), Page(BODY, etag='"2"'))
    service.submit(url).result(SOON)
    request = service.submit(url, revalidate=Validator('"1"', None))
    assert read(request) == BODY
    assert destination.touched == []


def test_not_modified_but_gone_here_is_fetched(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(SMALL, etag='"1"'))
    assert read(service.submit(url, revalidate=Validator('"1"', None))) == SMALL
    assert [("if-none-match" in seen.headers) for seen in origin.seen("/a")] == [True, False]


def test_not_modified_but_of_another_checksum_is_fetched_and_judged(
    origin: Origin, service: FetchService
) -> None:
    url = origin.add("/a", Page(SMALL, etag='"1"'))
    service.submit(url).result(SOON)
    request = service.submit(url, sha256(BODY), revalidate=Validator('"1"', None))
    assert isinstance(request.exception(SOON), ChecksumError)


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urls", "checksum", "kind"),
    [
        ("no url", None, InvalidURLError),
        ("gopher://h/", None, InvalidURLError),
        ("http://h/\r\nX: y", None, InvalidURLError),
        ("http://h/" + "x" * 65536, None, InvalidURLError),
        (["http://h/", "nonsense"], None, InvalidURLError),
        ([], None, InvalidURLError),
        ("http://h/", "deadbeef", InvalidChecksumError),
    ],
)
def test_what_cannot_be_asked_for_is_the_requests_error(
    service: FetchService, urls: Any, checksum: str | None, kind: type[Exception]
) -> None:
    request = service.submit(urls, checksum)
    assert type(request.exception(SOON)) is kind
    assert request.state == "failed"


def test_one_bad_url_does_not_spoil_the_others(origin: Origin, service: FetchService) -> None:
    good = origin.add("/a", SMALL)
    first, bad, last = service.submit_many([(good, None), ("nonsense", None), (good, None)])
    assert (read(first), read(last)) == (SMALL, SMALL)
    assert isinstance(bad.exception(SOON), InvalidURLError)


@pytest.mark.parametrize(
    "headers",
    [{"X": "a\r\nHost: evil"}, {"X Y": "a"}, {"Range": "bytes=0-"}, {"accept-encoding": "gzip"}],
)
def test_headers_that_would_break_the_request_are_refused(
    service: FetchService, headers: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="header"):
        service.submit("http://h/", headers=headers)


# --- helpers ---------------------------------------------------------------------------------


def wait_for(condition: Callable[[], bool], timeout: float = 20) -> None:
    pause = threading.Event()
    for _ in range(int(timeout / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come to that")


def source(url: str) -> str:
    return xxhash.xxh3_128_hexdigest(url.encode())


def leave(destination: DirectoryDestination, url: str, kept: bytes, validator: Validator) -> None:
    """Leave what a killed process leaves."""
    claim = destination.claim(url)
    assert claim is not None
    os.write(claim.fd, kept)
    claim.note(validator)
    claim.release(keep=True)
