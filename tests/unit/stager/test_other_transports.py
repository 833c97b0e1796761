"""`file:`, `ftp:` and fsspec's stores: the same promises as over HTTP."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from stager.destination import Validator
from stager.errors import (
    AuthenticationError,
    BusyServerError,
    ConnectionFailedError,
    HTTPStatusError,
    InvalidURLError,
    NotFoundError,
    TargetRefusedError,
)
from stager.retry import RetryPolicy
from stager.service import FetchService
from stager.transports import STORES, Transports, default_transports
from stager.transports.plain import Thing, answer
from tests.unit.stager.conftest import QUICK
from tests.unit.stager.ftpd import FTPServer
from tests.unit.stager.test_fetching import BODY, SMALL, SOON, leave, read, sha256, source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.stager.directory import DirectoryDestination


@pytest.fixture
def service(destination: DirectoryDestination) -> Iterator[FetchService]:
    made = FetchService(destination, default_transports(), user_agent="x", policy=QUICK)
    yield made
    made.close(cancel=True)


@pytest.fixture
def ftp() -> Iterator[FTPServer]:
    with FTPServer() as server:
        server.files["dir/a"] = BODY
        yield server


# --- answering as a server would -------------------------------------------------------------

THING = Thing(100, '"tag"', "date")


@pytest.mark.parametrize(
    ("asked", "status", "first"),
    [
        ({}, 200, 0),
        ({"Range": "bytes=10-", "If-Range": '"tag"'}, 206, 10),
        ({"Range": "bytes=10-", "If-Range": "date"}, 206, 10),
        ({"Range": "bytes=10-", "If-Range": '"other"'}, 200, 0),
        ({"Range": "bytes=10-"}, 200, 0),
        ({"Range": "bytes=0-", "If-Range": '"tag"'}, 200, 0),
        ({"Range": "bytes=100-", "If-Range": '"tag"'}, 416, 0),
        ({"If-None-Match": '"tag"'}, 304, 0),
        ({"If-Modified-Since": "date"}, 304, 0),
        ({"If-None-Match": '"other"'}, 200, 0),
    ],
)
def test_a_plain_thing_answers_as_an_http_server_would(
    asked: dict[str, str], status: int, first: int
) -> None:
    head, start = answer(asked, THING)
    assert (head.status, start) == (status, first)
    if status == 206:
        assert head.headers["content-range"] == f"bytes {first}-99/100"
        assert head.headers["content-length"] == "90"


def test_a_thing_of_unknown_size_or_without_validators_is_sent_whole() -> None:
    asked = {"Range": "bytes=10-", "If-Range": "date"}
    assert answer(asked, Thing(None, last_modified="date"))[0].status == 200
    assert answer({"If-None-Match": "x"}, Thing(5))[0].headers == {"content-length": "5"}
    assert answer({}, Thing(0))[0].headers == {"content-length": "0"}


# --- file ------------------------------------------------------------------------------------


def test_a_file_is_copied_verified_and_revalidated(
    service: FetchService, destination: DirectoryDestination, tmp_path: Path
) -> None:
    path = tmp_path / "a b%ü?.bin"
    path.write_bytes(BODY)
    url = path.as_uri()
    assert read(service.submit(url, sha256(BODY))) == BODY
    (staged,) = destination.staged
    known = Validator(staged.etag, staged.last_modified)
    service.submit(url, revalidate=known).result(SOON)
    assert len(destination.touched) == 1
    path.write_bytes(SMALL)
    assert read(service.submit(url, revalidate=known)) == SMALL


def test_a_file_is_resumed_only_while_it_is_the_same(
    service: FetchService, destination: DirectoryDestination, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(BODY)
    service.submit(path.as_uri()).result(SOON)
    etag = destination.staged[0].etag
    (tmp_path / "destination" / destination.name(path.as_uri())).unlink()
    kept = b"?" * 1_000_000
    leave(destination, path.as_uri(), kept, Validator(etag, None, 3_000_000, source(path.as_uri())))
    assert read(service.submit(path.as_uri())) == kept + BODY[1_000_000:]
    (tmp_path / "destination" / destination.name(path.as_uri())).unlink()
    leave(destination, path.as_uri(), kept, Validator('"x"', None, None, source(path.as_uri())))
    assert read(service.submit(path.as_uri())) == BODY


def test_what_is_no_readable_file_is_a_typed_error(service: FetchService, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, kind in (("none", NotFoundError), ("fifo", HTTPStatusError), ("", HTTPStatusError)):
        error = service.submit(f"file://{tmp_path}/{name}").exception(SOON)
        assert type(error) is kind
        assert "status" not in str(error)  # a file has none
    assert type(service.submit("file:///a%00b").exception(SOON)) is InvalidURLError
    assert type(service.submit("file:///proc/self/mem").exception(SOON)) is ConnectionFailedError


def test_a_policy_can_refuse_files(destination: DirectoryDestination, tmp_path: Path) -> None:
    def policy(url: str) -> None:
        raise TargetRefusedError(url, "no files")

    (tmp_path / "a").write_bytes(SMALL)
    with FetchService(
        destination, default_transports(), user_agent="x", target_policy=policy
    ) as service:
        error = service.submit((tmp_path / "a").as_uri()).exception(SOON)
    assert type(error) is TargetRefusedError


# --- ftp -------------------------------------------------------------------------------------


def test_a_file_comes_over_ftp(
    ftp: FTPServer, service: FetchService, destination: DirectoryDestination
) -> None:
    assert read(service.submit(f"{ftp.base}/dir/a", sha256(BODY))) == BODY
    assert destination.staged[0].last_modified == "Wed, 01 Jan 2025 00:00:00 GMT"


def test_a_broken_ftp_transfer_is_resumed(ftp: FTPServer, service: FetchService) -> None:
    ftp.cuts = [1_000_000, 500_000]
    assert read(service.submit(f"{ftp.base}/dir/a")) == BODY
    assert [line for line in ftp.log if line.startswith("REST")] == ["REST 1000000", "REST 1500000"]


def test_a_file_that_changed_on_the_ftp_server_starts_over(
    ftp: FTPServer, service: FetchService, destination: DirectoryDestination
) -> None:
    url = f"{ftp.base}/dir/a"
    old = Validator(None, "Tue, 31 Dec 2024 00:00:00 GMT", None, source(url))
    leave(destination, url, b"?" * 1_000_000, old)
    assert read(service.submit(url)) == BODY


def test_an_ftp_server_that_knows_no_sizes_is_still_found_out_when_it_breaks_off(
    ftp: FTPServer, service: FetchService
) -> None:
    ftp.knows_size = False
    ftp.cuts = [1000]
    assert read(service.submit(f"{ftp.base}/dir/a")) == BODY


def test_ftp_logs_in_with_the_hosts_credential(ftp: FTPServer, service: FetchService) -> None:
    ftp.login = ("me", "pw")
    assert type(service.submit(f"{ftp.base}/dir/a").exception(SOON)) is AuthenticationError
    url = ftp.base.replace("ftp://", "ftp://me:pw@") + "/dir/a"
    assert read(service.submit(url)) == BODY


def test_ftp_errors_are_typed(
    ftp: FTPServer, service: FetchService, destination: DirectoryDestination
) -> None:
    assert type(service.submit(f"{ftp.base}/none").exception(SOON)) is NotFoundError
    assert type(service.submit(f"{ftp.base}/a%0d%0aDELE%20b").exception(SOON)) is InvalidURLError
    assert not [line for line in ftp.log if line.startswith("DELE")]
    ftp.busy = True
    assert type(service.submit(f"{ftp.base}/dir/a").exception(SOON)) is BusyServerError
    error = service.submit("ftp://127.0.0.1:1/a").exception(SOON)
    assert type(error) is ConnectionFailedError
    assert destination.leftovers() == []


def test_ftp_checks_the_address_before_it_connects(destination: DirectoryDestination) -> None:
    def check(address: str) -> None:
        raise TargetRefusedError(address, "loopback")

    transports = default_transports(check_address=check)
    with (
        FetchService(destination, transports, user_agent="x") as service,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        url = f"ftp://127.0.0.1:{listener.getsockname()[1]}/a"
        error = service.submit(url).exception(SOON)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert type(error) is TargetRefusedError


def test_ftp_comes_from_an_address_that_passes(
    ftp: FTPServer, destination: DirectoryDestination
) -> None:
    asked: list[str] = []
    transports = default_transports(check_address=asked.append)
    with FetchService(destination, transports, user_agent="x") as service:
        assert type(service.submit(f"{ftp.base}/none").exception(SOON)) is NotFoundError
        error = service.submit("ftp://127.0.0.1:1/a").exception(SOON)
    assert type(error) is ConnectionFailedError
    assert set(asked) == {"127.0.0.1"}


# --- fsspec ----------------------------------------------------------------------------------


@pytest.fixture
def memory(destination: DirectoryDestination) -> Iterator[tuple[Any, FetchService]]:
    from stager.transports.fsspec_ import FsspecTransport

    system = fsspec.filesystem("memory")
    policy = RetryPolicy(attempts=1)
    transports = Transports({"memory": FsspecTransport})
    with FetchService(destination, transports, user_agent="x", policy=policy) as service:
        yield system, service
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_a_store_behind_fsspec_is_fetched_from_and_revalidated(
    memory: tuple[Any, FetchService], destination: DirectoryDestination
) -> None:
    system, service = memory
    system.pipe("/bucket/a", BODY)
    url = "memory://bucket/a"
    assert read(service.submit(url, sha256(BODY))) == BODY
    (staged,) = destination.staged
    service.submit(url, revalidate=Validator(staged.etag)).result(SOON)
    assert len(destination.touched) == 1


def test_a_store_behind_fsspec_is_resumed(
    memory: tuple[Any, FetchService], destination: DirectoryDestination
) -> None:
    system, service = memory
    system.pipe("/bucket/a", BODY)
    url = "memory://bucket/a"
    etag = f'"{system.ukey("/bucket/a")}"'
    leave(destination, url, b"?" * 1_000_000, Validator(etag, None, 3_000_000, source(url)))
    assert read(service.submit(url)) == b"?" * 1_000_000 + BODY[1_000_000:]


def test_a_stores_errors_are_typed(
    memory: tuple[Any, FetchService], monkeypatch: pytest.MonkeyPatch
) -> None:
    system, service = memory
    assert type(service.submit("memory://bucket/none").exception(SOON)) is NotFoundError
    system.pipe("/bucket/dir/a", SMALL)
    assert type(service.submit("memory://bucket/dir").exception(SOON)) is HTTPStatusError
    for raised, kind in (
        (PermissionError("s3cret"), AuthenticationError),
        (RuntimeError("s3cret"), ConnectionFailedError),
    ):
        monkeypatch.setattr(type(system), "info", _raising(raised))
        error = service.submit("memory://bucket/a").exception(SOON)
        assert type(error) is kind
        assert "s3cret" not in str(error)


def test_a_store_whose_package_is_missing_says_what_to_install(service: FetchService) -> None:
    scheme = next(
        one
        for one, package in (("s3", "s3fs"), ("gs", "gcsfs"), ("adl", "adlfs"))
        if not _installed(package)
    )
    error = service.submit(f"{scheme}://bucket/key").exception(SOON)
    assert type(error) is InvalidURLError
    assert "nstall" in error.why


def test_stores_are_left_out_where_addresses_must_be_checked() -> None:
    assert default_transports().schemes >= STORES
    assert not default_transports(check_address=print).schemes & STORES


def _raising(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: Any, **__: Any) -> Any:
        raise error

    return raise_it


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
