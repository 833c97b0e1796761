"""`Cache.get` against real servers and real processes: what bad luck and bad servers get."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache import Cache, config, errors
from fscache.urls.partials import Partials
from tests.support.origin import Origin, Page, failing, redirect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20


@pytest.fixture
def make_cache(tmp_path: Path) -> Iterator[Callable[..., Cache]]:
    made = []

    def make(root: Path | str = tmp_path / "root", **settings: Any) -> Cache:
        settings = {"attempts": 3, "connect_timeout": 5, "stall_timeout": 5, **settings}
        cache = Cache(root, config=config.load(arguments=settings))
        made.append(cache)
        return cache

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def cache(make_cache: Callable[..., Cache]) -> Cache:
    return make_cache()


def _md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def leftovers(cache: Cache) -> list[str]:
    return os.listdir(f"{cache.root.path}/partial")


def objects(cache: Cache) -> list[Path]:
    return [path for path in Path(cache.root.path, "objects").rglob("*") if path.is_file()]


# -- the promise ------------------------------------------------------------------------------


def test_the_bytes_arrive_verified_and_read_only(cache: Cache, origin: Origin) -> None:
    body = os.urandom(3 * MIB)
    url = origin.add("/a", body)
    path = cache.get(url, checksum=f"sha256:{hashlib.sha256(body).hexdigest()}")
    assert path.read_bytes() == body
    assert path.stat().st_mode & 0o777 == 0o444
    assert not leftovers(cache)


def test_a_hit_asks_nobody(cache: Cache, origin: Origin, make_cache: Callable[..., Cache]) -> None:
    url = origin.add("/a", b"bytes")
    first = cache.get(url)
    assert cache.get(url) == first
    assert make_cache().get(url) == first
    assert len(origin.seen("/a")) == 1


def test_equal_bytes_of_two_urls_are_one_object(cache: Cache, origin: Origin) -> None:
    one = cache.get(origin.add("/a", b"same"))
    assert cache.get(origin.add("/b", b"same")) == one
    assert len(objects(cache)) == 1


def test_a_request_can_be_awaited(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"bytes")

    async def fetch() -> Path:
        (request,) = cache.prefetch([url])
        return await asyncio.wrap_future(request)

    assert asyncio.run(fetch()).read_bytes() == b"bytes"


def test_a_root_that_is_no_path_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(errors.ConfigError):
        Cache("")
    assert Cache("~/cache").root.path == f"{tmp_path}/home/cache"
    assert Cache(Path("here")).root.path == f"{tmp_path}/here"


def test_a_timeout_of_infinity_is_none(cache: Cache, origin: Origin) -> None:
    one, two, three = (origin.add(f"/{name}", name.encode()) for name in ("one", "two", "three"))
    assert cache.get(one, timeout=float("inf")).read_bytes() == b"one"
    paths = cache.get_many([two, three], timeout=float("inf"), progress=lambda _: None)
    assert [path.read_bytes() for path in paths] == [b"two", b"three"]


def test_get_many_returns_paths_in_order_and_tries_all(cache: Cache, origin: Origin) -> None:
    urls = [origin.add(f"/{n}", b"body %d" % n) for n in range(40)]
    assert [p.read_bytes() for p in cache.get_many(urls)] == [b"body %d" % n for n in range(40)]
    missing = origin.base + "/missing"
    more = origin.add("/more", b"more")
    with pytest.raises(errors.NotFoundError):
        cache.get_many([missing, more])
    assert cache.lookup(more) is not None


def test_a_checksum_that_is_known_wrong_fetches_anew_and_keeps_the_old_entry(
    cache: Cache, origin: Origin
) -> None:
    url = origin.add("/a", b"old")
    old = cache.get(url)
    with pytest.raises(errors.ChecksumError):
        cache.get(url, checksum="md5:" + "0" * 32)
    assert len(origin.seen("/a")) == 2
    assert cache.get(url) == old


# -- freshness --------------------------------------------------------------------------------


def test_revalidation_keeps_what_is_current_and_fetches_what_is_not(
    cache: Cache, origin: Origin
) -> None:
    url = origin.add("/a", Page(b"one"), Page(b"one"), Page(b"two"))
    first = cache.get(url)
    assert cache.get(url, revalidate=True) == first
    assert "if-none-match" in origin.seen("/a")[1].headers
    assert cache.get(url, revalidate=True).read_bytes() == b"two"
    assert cache.get(url).read_bytes() == b"two"


def test_max_age_asks_only_when_older(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"one")
    cache.get(url)
    cache.get(url, max_age=3600)
    assert len(origin.seen("/a")) == 1
    cache.get(url, max_age=0)
    assert len(origin.seen("/a")) == 2


def test_offline_never_asks(make_cache: Callable[..., Cache], origin: Origin) -> None:
    url = origin.add("/a", b"one")
    with pytest.raises(errors.OfflineError) as caught:
        make_cache().get(url, offline=True)
    assert caught.value.name == url
    assert not origin.seen("/a")
    path = make_cache().get(url)
    assert make_cache(offline=True).get(url, revalidate=True) == path
    assert len(origin.seen("/a")) == 1


# -- mirrors, redirects, credentials ----------------------------------------------------------


def test_the_next_mirror_is_asked_on_failure_and_on_a_wrong_checksum(
    cache: Cache, origin: Origin
) -> None:
    body = b"the right bytes"
    broken = origin.add("/broken", failing(404))
    wrong = origin.add("/wrong", b"other bytes here")
    right = origin.add("/right", body)
    sha = f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert cache.get([broken, wrong, right], checksum=sha).read_bytes() == body
    assert cache.lookup(broken) is not None
    with pytest.raises(errors.AllMirrorsFailedError) as caught:
        cache.get([origin.base + "/x", wrong], checksum="md5:" + "1" * 32)
    kinds = [type(cause) for cause in caught.value.causes]
    assert kinds == [errors.NotFoundError, errors.ChecksumError]


def test_a_site_may_send_urls_to_its_mirror(
    make_cache: Callable[..., Cache], origin: Origin
) -> None:
    origin.add("/mirror/a", b"bytes")
    cache = make_cache(mirrors={"http://data.invalid/": origin.base + "/mirror/"})
    assert cache.get("http://data.invalid/a").read_bytes() == b"bytes"
    assert cache.lookup("http://data.invalid/a") is not None


def test_netrc_opens_the_host_it_names_and_no_other(
    make_cache: Callable[..., Cache], origin: Origin, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.touch(mode=0o600)
    netrc.write_text("machine 127.0.0.1 login ann password sesame\n")
    with Origin(host="127.0.0.2") as other:
        target = other.add("/b", b"bytes")
        url = origin.add("/a", Page(status=302, headers={"Location": target}))
        cache = make_cache(netrc=str(netrc))
        assert cache.get(url).read_bytes() == b"bytes"
        assert "authorization" in origin.seen("/a")[0].headers
        assert "authorization" not in other.seen("/b")[0].headers


def test_a_password_in_the_url_is_sent_and_never_written(
    cache: Cache, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    page = Page(b"bytes", auth="Basic YW5uOnNlc2FtZS1zZXNhbWU=")
    url = origin.add("/a", page).replace("//", "//ann:sesame-sesame@")
    path = cache.get(url)
    assert path.read_bytes() == b"bytes"
    assert cache.lookup(origin.url("/a")) == path
    with pytest.raises(errors.NotFoundError) as caught:
        cache.get(url.replace("/a", "/none"))
    written = b"".join(p.read_bytes() for p in Path(cache.root.path).rglob("*") if p.is_file())
    assert b"sesame" not in written
    assert "sesame" not in str(caught.value) + repr(caught.value) + caplog.text


# -- bad servers ------------------------------------------------------------------------------

BAD: dict[str, tuple[list[Page], type[Exception]]] = {
    "shorter than announced": ([Page(b"x" * 1000, announce=2000)], errors.LengthError),
    "longer than announced": ([Page(b"x" * 2000, announce=1000)], errors.LengthError),
    "endless redirects": ([redirect("/bad")], errors.RedirectError),
    "redirect to nowhere": ([Page(status=302)], errors.RedirectError),
    "redirect to a file": ([redirect("file:///etc/passwd")], errors.TargetRefusedError),
    "401": ([failing(401)], errors.AuthenticationError),
    "403": ([failing(403)], errors.AuthenticationError),
    "404": ([failing(404)], errors.NotFoundError),
    "410": ([failing(410)], errors.NotFoundError),
    "429": ([failing(429, Retry_After="0")], errors.BusyServerError),
    "503": ([failing(503, Retry_After="0")], errors.BusyServerError),
    "reset": (
        [Page(b"x" * 100_000, reset_at=50_000, etag=None, last_modified=None)],
        errors.ConnectionFailedError,
    ),
    "stalled": (
        [Page(b"x" * 100_000, stall_at=50_000, etag=None, last_modified=None)],
        errors.StalledError,
    ),
    "an error page": ([Page(b"<html>not your file</html>")], errors.ChecksumError),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("side_by_side", [False, True], ids=["one", "many"])
def test_a_bad_server_gets_a_typed_error_and_leaves_nothing_under_a_final_name(
    make_cache: Callable[..., Cache], origin: Origin, case: str, *, side_by_side: bool
) -> None:
    pages, expected = BAD[case]
    cache = make_cache(attempts=2, stall_timeout=0.5)
    bad = origin.add("/bad", *pages)
    good = [origin.add(f"/good{n}", b"good %d" % n) for n in range(12 if side_by_side else 0)]
    checksums = {bad: "md5:" + "0" * 32} if case == "an error page" else {}
    *others, request = cache.prefetch([*good, bad], checksums=checksums)
    with pytest.raises(expected):
        request.result(timeout=60)
    assert [o.result(timeout=60).read_bytes() for o in others] == [
        b"good %d" % n for n in range(len(good))
    ]
    assert len(objects(cache)) == len(good)
    assert cache.lookup(bad) is None


def test_checksums_are_found_under_every_spelling_of_a_url(
    make_cache: Callable[..., Cache], origin: Origin
) -> None:
    one, two = origin.add("/one", b"1"), origin.add("/two", b"2")
    wrong = "sha256:" + "0" * 64
    cache = make_cache()
    for asked, known in ((f"{one}#sha256=0", one), (one, one.replace("http:", "HTTP:"))):
        with pytest.raises(errors.ChecksumError):
            cache.get_many([asked], checksums={known: wrong})
    # More than is asked for, or fewer; `checksum` is for the rest.
    sums = {one: _md5(b"1"), two: _md5(b"2")}
    assert cache.get_many([one], checksums=sums)[0].read_bytes() == b"1"
    assert len(cache.get_many([one, two], checksums={one: sums[one]})) == 2
    with pytest.raises(errors.ChecksumError):
        cache.prefetch([one, two], checksum=wrong, checksums={one: sums[one]})[1].result(60)


def test_checksums_that_may_be_meant_for_another_url_are_refused(
    make_cache: Callable[..., Cache], origin: Origin
) -> None:
    url = origin.add("/a", b"bytes")
    cache = make_cache()
    with pytest.raises(ValueError, match="which is not asked for"):
        cache.get_many([url], checksums={f"{url}/": _md5(b"bytes")})
    with pytest.raises(TypeError, match="a mapping by URL, not a list"):
        cache.get_many([url], checksums=[_md5(b"bytes")])  # type: ignore[arg-type]
    assert not origin.seen("/a")


def test_an_https_url_never_falls_to_http(make_cache: Callable[..., Cache]) -> None:
    with Origin() as plain, Origin(tls=True) as secure:
        url = secure.add("/a", redirect(plain.add("/b", b"bytes")))
        cache = make_cache()
        # The certificate is our own, so the connection itself is refused before the redirect;
        # the redirect's rule has its own tests beside the transfer.
        with pytest.raises((errors.RedirectError, errors.ConnectionFailedError)):
            cache.get(url)
        assert not plain.seen("/b")


@pytest.mark.parametrize(
    "url",
    [
        "http://host/a\x00b",
        "http://host/a\nb",
        "http://host/" + "a" * 65536,
        "http:///no-host",
        "gopher://host/a",
        "not a url",
        "",
    ],
    ids=["nul", "newline", "64 KiB", "no host", "scheme", "words", "empty"],
)
def test_what_is_no_url_is_refused(cache: Cache, url: str) -> None:
    with pytest.raises(errors.InvalidURLError) as caught:
        cache.get(url)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "99aa06d3014798d8600G", "99aa", "99AA06D3014798D86001"]
)
def test_what_is_no_address_reaches_no_path(cache: Cache, name: str) -> None:
    with pytest.raises(errors.InvalidAddressError):
        cache.path(name)


def test_429_is_tried_again_after_what_the_server_asks(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", failing(429, Retry_After="1"), Page(b"bytes"))
    start = time.monotonic()
    assert cache.get(url).read_bytes() == b"bytes"
    assert time.monotonic() - start >= 1.0  # a lower bound: what the server asked for


# -- resume -----------------------------------------------------------------------------------


def test_a_dropped_connection_goes_on_with_range(cache: Cache, origin: Origin) -> None:
    body = os.urandom(4 * MIB)
    url = origin.add("/a", Page(body, cut_at=2 * MIB), Page(body))
    assert cache.get(url).read_bytes() == body
    assert origin.seen("/a")[1].headers["range"] == f"bytes={2 * MIB}-"


def test_a_file_that_changed_between_the_halves_starts_over(cache: Cache, origin: Origin) -> None:
    old, new = os.urandom(4 * MIB), os.urandom(4 * MIB)
    url = origin.add("/a", Page(old, cut_at=2 * MIB), Page(new))
    assert cache.get(url).read_bytes() == new


FETCH = """
import sys, fscache
cache = fscache.Cache(sys.argv[1])
print(cache.get(sys.argv[2]), flush=True)
"""


def fetching(root: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, root, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_fetch_is_resumed_by_the_next(cache: Cache, origin: Origin) -> None:
    body = os.urandom(8 * MIB)
    half = threading.Event()
    stop = threading.Event()
    sent = [0]

    def gate() -> None:
        sent[0] += 1
        if sent[0] * 64 * 1024 > 5 * MIB:
            half.set()
            stop.wait(30)

    url = origin.add("/a", Page(body, gate=gate), Page(body))
    cache.root.ensure()
    process = fetching(cache.root.path, url)
    assert half.wait(30)
    partial = Path(cache.root.path, "partial")
    deadline = time.monotonic() + 30
    while not any(p.stat().st_size > 4 * MIB for p in partial.glob("*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stop.set()
    assert not objects(cache)
    assert cache.get(url).read_bytes() == body
    first = int(origin.seen("/a")[-1].headers["range"].removeprefix("bytes=").rstrip("-"))
    assert first > 4 * MIB
    assert not leftovers(cache)


@pytest.mark.slow
def test_kill_at_any_moment_leaves_no_wrong_bytes(cache: Cache, origin: Origin) -> None:
    body = os.urandom(6 * MIB)
    cache.root.ensure()
    for number in range(12):
        pause = threading.Event()
        url = origin.add(f"/{number}", Page(body, gate=lambda p=pause: p.wait(0.002)))
        process = fetching(cache.root.path, url)
        origin.wait_seen(f"/{number}")
        time.sleep(0.04 * number)  # the moment of death is what varies here
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in objects(cache):
            assert path.read_bytes() == body
        assert cache.get(url).read_bytes() == body
    # Killed between naming the object and tidying up, a fetch leaves names that stand for nothing
    # any more; they are swept by age.
    Partials(f"{cache.root.path}/partial", cache.root.writer, time.time).sweep(age=-1)
    assert not leftovers(cache)


# -- many askers ------------------------------------------------------------------------------

CROWD = """
import json, sys, threading, fscache
cache = fscache.Cache(sys.argv[1])
paths = []
threads = [threading.Thread(target=lambda: paths.append(str(cache.get(sys.argv[2])))) for _ in range(8)]
print("ready", flush=True)
sys.stdin.readline()
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(paths), flush=True)
"""


def test_eight_processes_of_eight_threads_make_one_request(cache: Cache, origin: Origin) -> None:
    body = os.urandom(2 * MIB)
    url = origin.add("/a", Page(body))
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, cache.root.path, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in crowd:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = [None] * 8

    def finish(index: int) -> None:
        outputs[index] = json.loads(crowd[index].communicate("go\n", timeout=100)[0])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(finish, range(8)))
    paths = {path for output in outputs for path in output or ["missing"]}
    assert len(paths) == 1
    assert sum(len(output or []) for output in outputs) == 64
    assert Path(paths.pop()).read_bytes() == body
    assert len(origin.seen("/a")) == 1


def test_cancel_ends_a_running_fetch_and_leaves_it_resumable(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", Page(os.urandom(4 * MIB), stall_at=2 * MIB), Page(b"x"))
    (request,) = cache.prefetch([url])
    deadline = time.monotonic() + 30
    while request.progress.done < 2 * MIB:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert request.progress.total == 4 * MIB
    assert request.cancel()
    assert request.state == "cancelled"


# -- roots ------------------------------------------------------------------------------------


def test_flipped_bytes_are_caught_by_verify_and_fetched_again(cache: Cache, origin: Origin) -> None:
    body = os.urandom(100_000)
    url = origin.add("/a", body)
    path = cache.get(url)
    status = path.stat()
    os.chmod(path, 0o644)
    with path.open("r+b") as file:
        file.write(b"flip" if body[:4] != b"flip" else b"flop")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.get(url, verify=True).read_bytes() == body
    assert len(origin.seen("/a")) == 2
    assert os.listdir(f"{cache.root.path}/quarantine")


def test_a_hit_in_a_tier_is_handed_out_from_there(
    make_cache: Callable[..., Cache], origin: Origin, tmp_path: Path
) -> None:
    url = origin.add("/a", b"bytes")
    shared = make_cache(tmp_path / "shared").get(url)
    own = make_cache(tmp_path / "own", tiers=[str(tmp_path / "shared")])
    assert own.get(url) == shared
    assert own.path(url) == shared
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("found", ["fscache 99\n", ""])
def test_a_tier_that_is_broken_is_passed_over(
    make_cache: Callable[..., Cache],
    origin: Origin,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    found: str,
) -> None:
    url = origin.add("/a", b"bytes")
    good = make_cache(tmp_path / "good").get(url)
    broken = tmp_path / "broken"
    make_cache(broken).get(url)
    (broken / "FORMAT").write_text(found)
    own = make_cache(tmp_path / "own", tiers=[str(broken), str(tmp_path / "good")])
    assert own.get(url) == good
    assert caplog.messages
    assert all(line.startswith(f"tier passed over: {broken}") for line in caplog.messages)


def test_a_lease_keeps_the_object_open_and_named(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"bytes")
    with cache.lease(url) as path:
        assert path.read_bytes() == b"bytes"
    with cache.open(url) as file:
        assert file.read() == b"bytes"


def test_a_body_larger_than_the_cache_may_be_never_fits(
    make_cache: Callable[..., Cache], origin: Origin
) -> None:
    url = origin.add("/a", os.urandom(200_000))
    with pytest.raises(errors.NoSpaceError) as caught:
        make_cache(max_size="100KB").get(url)
    assert not caught.value.fits_ever
