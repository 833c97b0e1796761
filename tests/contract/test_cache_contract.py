"""What every cache promises, whether it is one root or a server's: one suite for all of them."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import threading
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fscache import config, errors
from fscache.cache import Cache
from tests.support.origin import Origin, Page, failing
from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ["local", "pulling", "shared", "same-root"]


@pytest.fixture(params=KINDS)
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    quick = config.load({}, {"attempts": 2, "root": str(tmp_path / "node")}, "/nonexistent")
    with ExitStack() as stack:
        if request.param == "local":
            yield stack.enter_context(Cache(config=quick))
            return
        served = stack.enter_context(serving(tmp_path / "served"))
        root = tmp_path / ("served" if request.param == "same-root" else "node")
        shared = request.param != "pulling"
        yield stack.enter_context(served.remote(root, config=quick, shared=shared))


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_url_is_fetched_once_and_its_bytes_are_read_only(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"x" * 100_000)
    path = cache.get(url)
    assert path.read_bytes() == b"x" * 100_000
    assert not os.stat(path).st_mode & 0o222
    assert cache.get(url) == path
    assert len(origin.seen("/a")) == 1


def test_an_empty_body_is_a_body(cache: Cache, origin: Origin) -> None:
    assert cache.get(origin.add("/empty", b"")).read_bytes() == b""


def test_lookup_and_path_know_what_is_here_and_ask_nobody(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    assert cache.lookup(url) is None
    with pytest.raises(errors.NotCachedError):
        cache.path(url)
    path = cache.get(url)
    assert cache.lookup(url) == path == cache.path(url)


def test_offline_is_a_miss_or_what_is_here(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    with pytest.raises(errors.OfflineError):
        cache.get(url, offline=True)
    path = cache.get(url)
    assert cache.get(url, offline=True, max_age=0) == path
    assert len(origin.seen("/a")) == 1


def test_offline_other_bytes_than_those_asked_for_are_said_to_be_others(
    cache: Cache, origin: Origin
) -> None:
    url = origin.add("/a", b"abc")
    path = cache.get(url)
    with pytest.raises(errors.ChecksumError) as caught:
        cache.get(url, checksum=digest(b"other"), offline=True)
    assert f"sha256:{caught.value.actual}" == digest(b"abc")
    assert cache.get(url, checksum=digest(b"abc"), offline=True) == path
    with pytest.raises(errors.OfflineError):
        cache.get(origin.url("/b"), checksum=digest(b"abc"), offline=True)


def test_one_url_by_itself_is_a_list_of_one(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    assert [path.read_bytes() for path in cache.get_many(url)] == [b"abc"]
    assert [request.urls for request in cache.prefetch(url)] == [(url,)]


def test_what_is_of_another_type_is_said_to_be(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    wrong: Any
    for wrong in (b"http://h/", 3, [], ["http://h/", None]):
        with pytest.raises(TypeError, match="URL"):
            cache.get(wrong)
    for wrong in (b"http://h/", None, [url]):
        for call in (cache.lookup, cache.forget, cache.path):
            with pytest.raises(TypeError, match="is text, not"):
                call(wrong)
    wrong = [url, []]
    with pytest.raises(TypeError, match=r"a list of mirrors, is wanted, not \[\]"):
        cache.prefetch(wrong)
    wrong = {"checksun": "sha256:00"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'checksun'"):
        cache.prefetch([url], **wrong)
    for wrong in ("1h", timedelta(hours=1)):
        with pytest.raises(TypeError, match="max_age is a number of seconds"):
            cache.get(url, max_age=wrong)
    wrong = 3
    with pytest.raises(TypeError, match="an open binary file is wanted, not 3"):
        cache.put(wrong)


def test_a_file_that_is_open_in_another_way_is_said_to_be(cache: Cache, tmp_path: Path) -> None:
    wrong: Any
    with open(tmp_path / "file", "w") as wrong, pytest.raises(TypeError, match="not open for read"):
        cache.put(wrong)
    (tmp_path / "file").write_text("text")
    with open(tmp_path / "file") as wrong, pytest.raises(TypeError, match="open it with mode 'rb'"):
        cache.put(wrong)


def test_another_process_can_be_given_a_cache(
    cache: Cache, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = origin.add("/a", b"abc")
    path = cache.get(url)
    token = getattr(getattr(cache, "rpc", None), "client", None)
    pickled = pickle.dumps(cache)
    if token is not None:
        assert token.address.token.encode() not in pickled
        monkeypatch.setenv("FSCACHE_TOKEN", token.address.token)
    with pickle.loads(pickled) as again:
        assert type(again) is type(cache)
        assert again.root.path == cache.root.path
        assert again.get(url) == path


def test_an_open_url_has_a_name(cache: Cache, origin: Origin) -> None:
    with cache.open(origin.add("/a.csv", b"abc")) as file:
        assert os.path.samestat(os.stat(file.name), os.fstat(file.fileno()))
        assert file.read() == b"abc"


def test_a_missing_page_is_a_typed_error(cache: Cache, origin: Origin) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        cache.get(origin.url("/nothing"))
    assert caught.value.status == 404


def test_an_origin_in_trouble_is_tried_again_then_a_typed_error(
    cache: Cache, origin: Origin
) -> None:
    with pytest.raises(errors.BusyServerError) as caught:
        cache.get(origin.add("/busy", failing(503)))
    assert caught.value.status == 503
    assert len(origin.seen("/busy")) == 2


def test_a_wrong_checksum_is_an_error_and_a_right_one_is_kept(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    with pytest.raises(errors.ChecksumError):
        cache.get(url, checksum=digest(b"other"))
    assert cache.get(url, checksum=digest(b"abc")).read_bytes() == b"abc"


def test_a_checksum_asks_the_origin_anew_where_the_kept_bytes_are_others(
    cache: Cache, origin: Origin
) -> None:
    url = origin.add("/a", b"old", b"new")
    assert cache.get(url).read_bytes() == b"old"
    assert cache.get(url, checksum=digest(b"new")).read_bytes() == b"new"


@pytest.mark.parametrize("url", ["", "no url", "http://", "http://h:0/", "http://a b/"])
def test_what_is_no_url_is_an_invalid_url(cache: Cache, url: str) -> None:
    with pytest.raises(errors.InvalidURLError):
        cache.get(url)


def test_the_next_mirror_is_asked_when_one_fails(cache: Cache, origin: Origin) -> None:
    first, second = origin.url("/nothing"), origin.add("/b", b"abc")
    assert cache.get([first, second]).read_bytes() == b"abc"
    assert cache.get(first, offline=True).read_bytes() == b"abc"


def test_a_stale_url_is_asked_about_and_replaced_where_it_changed(
    cache: Cache, origin: Origin
) -> None:
    url = origin.add("/a", b"old")
    assert cache.get(url).read_bytes() == b"old"
    assert cache.get(url, revalidate=True).read_bytes() == b"old"
    origin.add("/a", b"new")
    assert cache.get(url).read_bytes() == b"old"
    assert cache.get(url, revalidate=True).read_bytes() == b"new"


def test_max_age_asks_only_when_the_last_check_is_older(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    cache.get(url)
    cache.get(url, max_age=3600)
    assert len(origin.seen("/a")) == 1
    cache.get(url, max_age=0)
    assert len(origin.seen("/a")) == 2


def test_a_forgotten_url_is_fetched_again(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    assert not cache.forget(url)
    cache.get(url)
    assert cache.forget(url)
    assert cache.lookup(url) is None
    cache.get(url)
    assert len(origin.seen("/a")) == 2


def test_headers_reach_the_origin(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", Page(b"abc", auth="Bearer for-the-origin"))
    with pytest.raises(errors.AuthenticationError):
        cache.get(url)
    got = cache.get(url, headers={"Authorization": "Bearer for-the-origin"})
    assert got.read_bytes() == b"abc"


def test_many_come_in_order_and_the_first_error_is_raised(cache: Cache, origin: Origin) -> None:
    urls = [origin.add(f"/f{n}", b"%d" % n) for n in range(40)]
    assert [path.read_bytes() for path in cache.get_many(urls)] == [b"%d" % n for n in range(40)]
    with pytest.raises(errors.NotFoundError):
        cache.get_many([urls[0], origin.url("/nothing")])


def test_a_prefetch_returns_requests_that_end(cache: Cache, origin: Origin) -> None:
    good, bad, wrong = cache.prefetch([origin.add("/a", b"abc"), origin.url("/nothing"), "no url"])
    assert good.result(30).read_bytes() == b"abc"
    assert good.state == "done"
    with pytest.raises(errors.NotFoundError):
        bad.result(30)
    with pytest.raises(errors.InvalidURLError):
        wrong.result(30)


def test_a_wait_that_is_over_says_what_is_not_here_and_the_fetch_goes_on(
    cache: Cache, origin: Origin
) -> None:
    good = origin.add("/a", b"abc")
    cache.get(good)
    go_on = threading.Event()
    slow = origin.add("/slow", Page(b"x" * 100_000, gate=go_on.wait))
    with pytest.raises(TimeoutError, match=r"/slow: still \w+ after 0.1 s"):
        cache.get(slow, timeout=0.1)
    seen: list[int] = []
    for progress in (False, lambda requests: seen.append(len(requests))):
        with pytest.raises(TimeoutError, match="1 of 2 URLs are not here yet"):
            cache.get_many([good, slow], timeout=0.1, progress=progress)
    assert set(seen) == {2}
    go_on.set()
    assert cache.get(slow).read_bytes() == b"x" * 100_000


def test_a_prefetch_can_be_cancelled(cache: Cache, origin: Origin) -> None:
    (request,) = cache.prefetch([origin.add("/slow", Page(b"x" * 100_000, stall_at=1000))])
    assert request.cancel()
    assert request.state == "cancelled"


def test_an_object_is_put_by_bytes_path_or_file_and_found_by_its_address(
    cache: Cache, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"some bytes")
    address = cache.put(b"some bytes")
    assert cache.put(tmp_path / "f") == address
    assert cache.put(io.BytesIO(b"some bytes")) == address
    assert cache.path(address).read_bytes() == b"some bytes"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "0" * 19, "A" * 20, "0" * 20 + "-0"])
def test_what_is_no_address_is_refused(cache: Cache, name: str) -> None:
    with pytest.raises(errors.InvalidAddressError):
        cache.path(name)


def test_an_address_that_nobody_has_is_not_cached(cache: Cache) -> None:
    with pytest.raises(errors.NotCachedError):
        cache.path("0" * 20)


def test_open_and_lease_hand_out_the_bytes(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    with cache.open(url) as file:
        assert file.read() == b"abc"
    with cache.lease(url) as path:
        assert path.read_bytes() == b"abc"


def test_entries_tell_what_is_recorded(cache: Cache, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    cache.get(url)
    (row,) = cache.entries()
    assert (row["url"], row["size"]) == (url, 3)


def test_key_values_are_the_same_calls(cache: Cache) -> None:
    kv = cache.kv
    value = {"a": [1, 2.5, None, b"\0", "\x1b[1m\r\n"], "big": 2**80}
    kv.put("some/key ü", value)
    assert kv.get("some/key ü") == value
    assert kv.get("nothing", 5) == 5
    with pytest.raises(KeyError, match="nothing"):
        kv.get("nothing")
    assert kv.incr("n", 2) == 2
    assert kv.incr("n") == 3
    assert kv.cas("n", 3, 10)
    assert not kv.cas("n", 3, 11)
    assert kv.multiget(["n", "some/key ü"]) == {"n": 10, "some/key ü": value}
    assert kv.keys("s") == ["some/key ü"]
    kv.put("mortal", "x", ttl=1000, tags=["t"])
    assert 900 < (kv.ttl("mortal") or 0) <= 1000
    assert kv.tags("mortal") == ("t",)
    assert kv.tagged("t") == ["mortal"]
    assert kv.pop("mortal") == "x"
    assert kv.delete("n")
    assert not kv.delete("n")
    other = kv.store("other")
    other["x"] = 1
    assert (dict(other), "x" in kv) == ({"x": 1}, False)
    with pytest.raises(TypeError):
        kv.put("k", object())
    with pytest.raises(ValueError, match="store"):
        kv.store("../x")
