"""Promises of fscache.urls.batch: a helped list is as one that this process fetches alone."""

from __future__ import annotations

import marshal
import os
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fscache import config, errors
from fscache.cache import Cache
from fscache.fs import helper
from fscache.urls import batch
from tests.support.origin import Origin, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNT = 160


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
        return [path for _, paths in self.done for path in paths if path is not None]

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
    assert cache._lend(urls[0], 1) is not None  # nothing stayed lent


def test_one_that_is_slow_does_not_hold_up_the_rest(
    cache: Cache, origin: Origin, helpers: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "spare", lambda: 0)
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
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password geheim\n")
    netrc.chmod(0o600)
    auth = "Basic bWU6Z2VoZWlt"
    urls = [origin.add(f"/{number}", Page(body(number), auth=auth)) for number in range(COUNT)]
    assert len(cache.get_many(urls)) == COUNT
    assert not helpers
    assert not batch.is_long([url.replace("//", "//me:geheim@") for url in urls])


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
        assert cache._fetcher._service._scheduler._lanes._per_host == 3  # had back
    with opened(tmp_path / "one", per_host=1) as cache:
        assert cache._lend(urls[0], 1) is None


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
    origin.add(f"/{COUNT - 1}", body(COUNT - 1))
    cache.get(urls[-1])  # lets the others go
    assert cache._lend(urls[0], 1) is not None


def test_two_lists_at_once_do_not_lend_the_same_connections(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"a")
    assert cache._lend(url, 1) is not None
    assert cache._lend(url, 1) is None
    cache._take_back()
    assert cache._lend(url, 1) is not None


def test_what_another_process_cannot_make_anew_has_no_helper(
    origin: Origin, tmp_path: Path
) -> None:
    url = origin.add("/a", b"a")
    with Cache(tmp_path / "clock", now=lambda: 0.0) as cache:
        assert cache._lend(url, 1) is None
    with opened(tmp_path / "mirrors", mirrors={"http://a/": ["http://b/"]}) as cache:
        assert cache._lend(url, 1) is None


def test_a_helper_is_told_no_secret(tmp_path: Path, origin: Origin) -> None:
    with opened(tmp_path / "root", token="geheim") as cache:
        recipe = cache._lend(origin.add("/a", b"a"), 1)
    assert recipe is not None
    assert b"geheim" not in marshal.dumps(recipe)


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
    ],
)
def test_long_is_a_list_of_one_host(
    monkeypatch: pytest.MonkeyPatch, urls: list[object], expected: bool
) -> None:
    monkeypatch.setattr(batch, "LEAST", 2)
    assert batch.is_long(urls) is expected
