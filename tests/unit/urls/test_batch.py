"""Promises of fscache.urls.batch: a helped list is as one that this process fetches alone."""

from __future__ import annotations

import marshal
import os
import signal
import sys
import threading
import urllib.request
from collections import Counter
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache import config, errors
from fscache.cache import Cache
from fscache.fs import helper
from fscache.remote.cache import RemoteCache
from fscache.urls import batch
from stager.urls import parse
from tests.support.origin import Origin, Page, failing, redirect
from tests.support.processes import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 160
PASSWORD = "Basic bWU6Z2VoZWlt"


class Watched(helper.Helper):
    """A helper whose pieces can be counted."""

    made: list[Watched]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.done: list[Any] = []
        self.made.append(self)

    def results(self) -> list[Any]:
        found = super().results()
        self.done += found
        return found

    @property
    def paths(self) -> list[str]:
        return [path for paths in self.done for path in paths if path is not None]

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """The helpers that were started; pieces are small, so that short lists have many."""
    monkeypatch.setattr(Watched, "made", [], raising=False)
    monkeypatch.setattr(helper, "Helper", Watched)
    monkeypatch.setattr(helper, "spare", lambda: 1)
    for name, value in {"LEAST": 100, "PIECE": 8, "PROOF": 8, "WORTH": 2, "_LOW": 4}.items():
        monkeypatch.setattr(batch, name, value)
    monkeypatch.setattr(batch, "_BUSY", -1.0)  # always
    return Watched.made


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with opened(tmp_path / "root") as made:
        yield made


def opened(root: Path, **settings: object) -> Cache:
    environ = {"NETRC": str(root.parent / "netrc")}
    given = {"attempts": 2, "root": str(root), **settings}
    return Cache(config=config.load(environ, given, "/nonexistent"))


def body(number: int) -> bytes:
    return b"%d\n" % number


def pages(origin: Origin, **changes: object) -> list[str]:
    """Serve files of which the first half, but for a few, wait until the last has been asked for.

    So a process that begins at the first cannot end without a helper that begins at the last.
    """

    def held() -> None:
        origin.wait_seen(f"/{COUNT - 1}")

    return [
        origin.add(
            f"/{number}",
            Page(
                body(number),
                gate=held if 2 * batch.PROOF <= number < COUNT // 2 else None,
                **changes,  # type: ignore[arg-type]
            ),
        )
        for number in range(COUNT)
    ]


def has_password(folder: Path, host: str) -> None:
    """Have the caches below a folder know a password for a host."""
    netrc = folder / "netrc"
    netrc.write_text(f"machine {host} login me password geheim\n")
    netrc.chmod(0o600)


def asked(origin: Origin) -> Counter[str]:
    return Counter(seen.path for seen in origin.requests)


def test_a_helper_begins_at_the_end_and_every_url_is_asked_for_once(
    cache: Cache, origin: Origin, helpers: list[Watched]
) -> None:
    paths = cache.get_many(pages(origin))
    assert [path.read_bytes() for path in paths] == [body(number) for number in range(COUNT)]
    assert set(asked(origin).values()) == {1}
    (one,) = helpers
    assert str(paths[-1]) in one.paths
    assert one.is_over
    assert os.listdir(f"{cache.root.path}/partial") == []


def test_a_checksum_is_compared_whoever_fetches(
    cache: Cache, origin: Origin, helpers: list[Watched]
) -> None:
    urls = pages(origin)
    wrong = {urls[-1]: "md5:" + "0" * 32, urls[1]: "md5:" + "1" * 32}
    with pytest.raises(errors.ChecksumError) as caught:
        cache.get_many(urls, checksums=wrong)
    assert caught.value.url == urls[1]  # the first in the list's order
    assert cache.lookup(urls[-1]) is None
    assert cache.lookup(urls[-2]) is not None
    assert helpers


def test_what_a_helper_cannot_fetch_fails_here_and_the_rest_is_there(
    cache: Cache, origin: Origin, helpers: list[Watched]
) -> None:
    urls = pages(origin)
    origin.add(f"/{COUNT - 2}", Page(b"no", status=404))
    with pytest.raises(errors.NotFoundError) as caught:
        cache.get_many(urls)
    assert caught.value.url == urls[-2]
    assert sum(cache.lookup(url) is not None for url in urls) == COUNT - 1
    assert helpers
    assert asked(origin)[f"/{COUNT - 2}"] == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_helper_that_dies_is_not_missed(
    cache: Cache, origin: Origin, helpers: list[Watched], number: int
) -> None:
    urls = pages(origin)
    last = COUNT - 1

    def kill() -> None:
        origin.wait_seen(f"/{last}")
        if not origin.release.is_set():
            origin.release.set()
            helpers[0]._process.send_signal(number)
            helpers[0]._process.wait()

    origin.add(f"/{last}", Page(body(last), gate=kill))
    paths = cache.get_many(urls)
    assert [path.read_bytes() for path in paths] == [body(number) for number in range(COUNT)]


def test_a_helper_that_cannot_be_started_is_not_missed(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError("no process is left")

    monkeypatch.setattr(helper, "Helper", refuse)
    urls = [origin.add(f"/{number}", body(number)) for number in range(COUNT)]
    assert len(cache.get_many(urls)) == COUNT
    assert not helpers
    assert is_free(cache, urls[0])


def test_a_helper_that_cannot_be_told_its_work_is_not_missed(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/a/path/that/is/no/text")])
    assert len(cache.get_many(pages(origin))) == COUNT
    assert helpers

    monkeypatch.setattr(config.Config, "portable", lambda _: ({"a": object()}, {}))
    urls = [origin.add(f"/again/{number}", body(number)) for number in range(COUNT)]
    assert len(cache.get_many(urls)) == COUNT
    assert len(helpers) == 1
    assert is_free(cache, urls[0])


def test_one_that_is_slow_does_not_hold_up_the_rest(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_BUSY", 2.0)  # never
    everything = threading.Event()

    def count() -> None:
        if len(origin.requests) == COUNT:
            everything.set()

    urls = [origin.add(f"/{n}", Page(body(n), gate=count)) for n in range(COUNT)]
    origin.add("/3", Page(body(3), gate=lambda: everything.wait(20)))
    paths = cache.get_many(urls)
    assert everything.is_set()
    assert paths[3].read_bytes() == body(3)
    assert not helpers


def test_what_is_here_is_not_asked_for_and_needs_no_helper(
    cache: Cache, origin: Origin, helpers: list[Watched], tmp_path: Path
) -> None:
    urls = [origin.add(f"/{number}", body(number)) for number in range(COUNT)]
    paths = [cache.get(url) for url in urls]
    assert cache.get_many(urls) == paths
    with opened(tmp_path / "other", tiers=[cache.root.path]) as other:
        assert other.get_many(urls) == paths
    assert set(asked(origin).values()) == {1}
    assert not helpers


def test_a_helper_looks_into_tiers(
    cache: Cache, origin: Origin, helpers: list[Watched], tmp_path: Path
) -> None:
    urls = pages(origin)
    cache.get(urls[-1])
    before = cache.get(urls[-2])
    with opened(tmp_path / "other", tiers=[cache.root.path]) as other:
        paths = other.get_many(urls)
    assert paths[-2] == before
    assert str(before) in helpers[0].paths
    assert set(asked(origin).values()) == {1}


def test_no_helper_where_it_would_have_to_know_a_secret(
    cache: Cache, origin: Origin, helpers: list[Watched], tmp_path: Path
) -> None:
    has_password(tmp_path, "127.0.0.1")
    urls = [origin.add(f"/{number}", Page(body(number), auth=PASSWORD)) for number in range(COUNT)]
    assert len(cache.get_many(urls)) == COUNT
    assert not helpers


def test_no_helper_where_the_network_is_what_takes_the_time(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_BUSY", 0.5)
    monkeypatch.setattr(batch, "process_time", lambda: 0.0)
    urls = [origin.add(f"/{number}", body(number)) for number in range(COUNT)]
    assert len(cache.get_many(urls)) == COUNT
    assert not helpers


def test_together_they_keep_to_what_is_set(
    origin: Origin, helpers: list[Watched], tmp_path: Path
) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def count() -> None:
        # Until the others have had the time to come: a limit that does not hold would be seen.
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.002)
        with lock:
            now[0] -= 1

    urls = pages(origin)
    for number in range(COUNT):
        if not 2 * batch.PROOF <= number < COUNT // 2:
            origin.add(f"/{number}", Page(body(number), gate=count))
    with opened(tmp_path / "root", per_host=3) as cache:
        cache.get_many(urls)
        assert helpers
        assert most[0] <= 3
        assert is_free(cache, urls[0])


def test_an_interrupted_list_leaves_no_helper(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., object] = batch.wait

    def interrupted(*arguments: Any) -> object:
        if helpers:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(batch, "wait", interrupted)
    urls = pages(origin)
    with pytest.raises(KeyboardInterrupt):
        cache.get_many(urls)
    assert helpers[0].is_over
    with urllib.request.urlopen(urls[-1]):  # lets the others go
        pass
    assert is_free(cache, urls[0])


def test_a_cache_that_is_closed_ends_its_lists(
    cache: Cache, origin: Origin, helpers: list[Watched]
) -> None:
    urls = [
        origin.add(f"/{n}", Page(body(n), gate=None if n < 24 else origin.release.wait))
        for n in range(COUNT)
    ]

    def close() -> None:
        origin.wait_seen("/30")
        cache.close()

    closing = threading.Thread(target=close)
    closing.start()
    with pytest.raises(CancelledError):
        cache.get_many(urls)
    closing.join()
    assert cache._fetcher_made is None
    assert all(one.is_over for one in helpers)


def test_a_helper_that_is_stopped_is_ended(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_STUCK", 5)
    urls = pages(origin)
    last = COUNT - 1

    def stop() -> None:
        if len(origin.seen(f"/{last}")) == 1:
            helpers[0]._process.send_signal(signal.SIGSTOP)

    origin.add(f"/{last}", Page(body(last), gate=stop))
    paths = cache.get_many(urls)
    assert [path.read_bytes() for path in paths] == [body(number) for number in range(COUNT)]
    assert helpers[0].is_over
    assert is_free(cache, urls[0])


def test_a_helper_is_not_sent_to_where_it_would_need_a_secret(
    cache: Cache, origin: Origin, helpers: list[Watched], tmp_path: Path
) -> None:
    has_password(tmp_path, "localhost")
    urls = pages(origin)
    with Origin() as guarded:  # by another name, which has a password; without it, a page to log in
        there = guarded.base.replace("127.0.0.1", "localhost")
        for number in range(COUNT // 2, COUNT):
            guarded.add(f"/{number}", Page(body(number), auth=PASSWORD))
            origin.add(f"/{number}", redirect(f"{there}/{number}"))
        paths = cache.get_many(urls)
        assert [path.read_bytes() for path in paths] == [body(number) for number in range(COUNT)]
        assert helpers
        assert all("authorization" in seen.headers for seen in guarded.requests)


def test_those_that_wait_for_another_try_do_not_hold_up_the_rest(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_QUIET", 2)
    monkeypatch.setattr(batch, "_STUCK", 2)
    urls = [origin.add(f"/{n}", failing(503), Page(body(n))) for n in range(COUNT)]
    cache.get_many(urls)
    order = [seen.path for seen in origin.requests]
    again = next(at for at, path in enumerate(order) if path in order[:at])
    assert again > 2 * (batch.PIECE + batch._LOW)  # a pause is 0.25 s at least
    assert not helpers


def test_one_that_only_fails_gets_no_more(
    cache: Cache, origin: Origin, helpers: list[Watched]
) -> None:
    urls = pages(origin)
    for number in range(COUNT // 2, COUNT):
        origin.add(f"/{number}", failing(404))
    with pytest.raises(errors.NotFoundError) as caught:
        cache.get_many(urls)
    assert caught.value.url == urls[COUNT // 2]
    twice = [path for path, count in asked(origin).items() if count > 1]
    assert len(twice) <= batch._IN_HAND * batch.PIECE
    assert helpers


def test_a_url_that_is_none_fails_alone(
    cache: Cache, origin: Origin, helpers: list[Watched]
) -> None:
    urls = pages(origin)
    urls[0] = origin.base + "/a b"
    with pytest.raises(errors.InvalidURLError):
        cache.get_many(urls)
    assert all(cache.lookup(url) is not None for url in urls[1:])
    assert helpers


@pytest.mark.parametrize("how", ["refused", "dead"])
def test_where_there_are_no_helpers_after_all_this_process_has_all_connections(
    origin: Origin,
    helpers: list[Watched],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    class Dead(Watched):
        def __init__(self, *arguments: Any) -> None:
            if how == "refused":
                raise BlockingIOError("no process is left")
            super().__init__(*arguments)
            self._process.kill()
            self._process.wait()

    monkeypatch.setattr(helper, "Helper", Dead)
    together = threading.Barrier(4)  # more than a share

    def meet() -> None:
        if not together.broken:
            together.wait(20)

    urls = [
        origin.add(f"/{n}", Page(body(n), gate=meet if n >= COUNT - 4 else None))
        for n in range(COUNT)
    ]
    with opened(tmp_path / "root", per_host=4) as cache:
        assert len(cache.get_many(urls)) == COUNT
    assert not together.broken


def test_two_lists_at_once_have_all_their_files(
    cache: Cache, origin: Origin, helpers: list[Watched]
) -> None:
    urls = pages(origin)
    found: list[list[Path]] = []
    threads = [
        threading.Thread(target=lambda given=given: found.append(cache.get_many(given)))
        for given in (urls, urls[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = found
    assert {*first} == {*second}
    assert {path.read_bytes() for path in first} == {body(number) for number in range(COUNT)}
    assert set(asked(origin).values()) == {1}
    assert len(helpers) <= 2
    assert is_free(cache, urls[0])


def is_free(cache: Cache, url: str) -> bool:
    """Whether all connections have been given back."""
    origin = parse(url).origin
    limited = cache._fetcher._service._scheduler._lanes._limits
    loan = cache._fetcher.lend(url, 1)
    return origin in limited and loan is not None and loan.give_back() is None and not limited


def test_connections_are_lent_once(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"a")
    cache.get(url)
    loan = cache._fetcher.lend(url, 1)
    assert loan is not None
    assert (loan.helpers, loan.share) == (1, 16)
    assert cache._fetcher.lend(url, 1) is None
    assert in_child(lambda: cache._fetcher.lend(url, 1) is not None)  # it has lent nothing
    loan.give_back()
    assert is_free(cache, url)


@pytest.mark.parametrize(
    ("per_host", "helpers", "expected"),
    [(None, 3, (3, 8)), (16, 1, (1, 8)), (3, 3, (2, 1)), (2, 3, (1, 1)), (1, 3, None)],
)
def test_who_gets_how_many(
    tmp_path: Path, per_host: int | None, helpers: int, expected: tuple[int, int] | None
) -> None:
    given = {} if per_host is None else {"per_host": per_host}
    with opened(tmp_path / "root", **given) as cache:
        loan = cache._fetcher.lend("http://a/", helpers)
        assert (loan and (loan.helpers, loan.share)) == expected


def test_what_another_process_cannot_make_anew_has_no_helper(tmp_path: Path) -> None:
    with Cache(tmp_path / "clock", now=lambda: 0.0) as cache:
        assert not cache._can_have_helpers
    with opened(tmp_path / "mirrors", mirrors={"http://a/": ["http://b/"]}) as cache:
        assert cache._fetcher.lend("http://a/", 1) is None
    with RemoteCache(server="http://a:1", root=tmp_path / "remote") as cache:
        assert not cache._can_have_helpers


def test_files_that_hold_credentials_and_cannot_be_read_are_no_matter_here(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine")
    with opened(tmp_path / "root") as cache:
        assert cache._fetcher.lend("http://a/", 1) is None
        assert cache._fetcher.lend("file:///a", 1) is not None


def test_a_helper_is_told_no_secret(tmp_path: Path) -> None:
    with opened(tmp_path / "root", token="geheim") as cache:
        made = cache._lend("http://a/", 1)
    assert made is not None
    _, recipe = made
    assert b"geheim" not in marshal.dumps(recipe)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        (["http://a/1", "http://a/2"], True),
        (["http://a/1"], False),
        (["http://a/1", "http://b/2"], False),
        (["http://a/1", "https://a/2"], False),
        (["http://a:80/1", "http://a:81/2"], False),
        (["http://a/1", ["http://a/2", "http://b/2"]], False),
        ([["http://a/2", "http://b/2"], "http://a/1"], False),
        (["http://a/1", 5], False),
        ([5, "http://a/1"], False),
        (["http://a", "http://a"], False),
        (["", ""], False),
        (["http://me:pw@a/1", "http://me:pw@a/2"], False),
        ([Text("http://a/1"), "http://a/2"], False),
        (["http://a/1", Text("http://a/2")], False),
    ],
)
def test_long_is_a_list_of_one_host(
    monkeypatch: pytest.MonkeyPatch, urls: list[object], expected: bool
) -> None:
    monkeypatch.setattr(batch, "LEAST", 2)
    monkeypatch.setattr(helper, "spare", lambda: 1)
    assert batch.is_long(urls) is expected
    monkeypatch.setattr(helper, "spare", lambda: 0)
    assert not batch.is_long(urls)


@pytest.mark.parametrize(
    ("sums", "expected"),
    [([], True), ([None, "md5:00"], True), ([None, 5], False), ([Text("md5:00")], False)],
)
def test_checksums_can_be_told_as_plain_text(sums: list[object], expected: bool) -> None:
    assert batch.can_be_told(sums) is expected
