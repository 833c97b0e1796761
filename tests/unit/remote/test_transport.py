"""A node's misses: staged by the server, pulled in one piece or in bundles, followed while they wait."""

from __future__ import annotations

import json
import os
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import pytest

from fscache import errors
from fscache.remote.bundles import MOST
from fscache.server.pulls import SMALL
from tests.support.origin import Origin, Page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.servers import Serving


# -- progress ---------------------------------------------------------------------------------


def test_a_node_sees_how_far_the_server_is(
    served: Serving, origin: Origin, tmp_path: Path, until: Callable[..., None]
) -> None:
    url = origin.add("/slow", Page(b"x" * 3_000_000, stall_at=2_000_000))
    with served.remote(tmp_path / "node", shared=False) as node:
        (request,) = node.prefetch([url])
        until(lambda: request.progress.done >= 1_000_000, "the server's progress")
        assert request.progress.total == 3_000_000
        assert request.state == "running"
        assert os.listdir(tmp_path / "node/objects") == []
        origin.release.set()
        assert request.result(30).stat().st_size == 3_000_000
        assert request.progress[:2] == (3_000_000, 3_000_000)


def test_of_many_each_is_seen_too(
    served: Serving, origin: Origin, tmp_path: Path, until: Callable[..., None]
) -> None:
    slow = origin.add("/slow", Page(b"x" * 3_000_000, stall_at=2_000_000))
    others = [origin.add(f"/f{n}", b"%d" % n) for n in range(20)]
    with served.remote(tmp_path / "node", shared=False) as node:
        first, *rest = node.prefetch([slow, *others])
        assert [request.result(30).read_bytes() for request in rest] == [
            b"%d" % n for n in range(20)
        ]
        until(lambda: first.progress.done >= 1_000_000, "the server's progress")
        origin.release.set()
        assert first.result(30).stat().st_size == 3_000_000


def test_a_cancelled_request_is_given_up_at_the_server_while_it_waits(
    served: Serving, origin: Origin, tmp_path: Path, until: Callable[..., None]
) -> None:
    url = origin.add("/slow", Page(b"x" * 3_000_000, stall_at=2_000_000))
    with served.remote(tmp_path / "node", shared=False) as node:
        (request,) = node.prefetch([url])
        until(lambda: request.progress.done, "the server's progress")
        assert request.cancel()
        until(lambda: not list(served.server.board.under_way()), "the server to give it up")
        with pytest.raises(CancelledError):
            request.result(0)


def test_a_request_that_the_server_has_forgotten_is_asked_anew(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    url = origin.add("/a", b"abc")
    with served.remote(tmp_path / "node") as node:
        answer = node.rpc.client.call("GET", f"/urls/{url.replace('/', '%2F')}?request=gone.0")
        assert answer.body == b"abc"


@pytest.mark.parametrize("query", ["park=soon", "park=-1", "park=nan", "max_age=x", "colour=red"])
def test_what_is_no_option_of_a_pull_is_refused(
    served: Serving, tmp_path: Path, query: str
) -> None:
    with served.remote(tmp_path / "node") as node, pytest.raises(errors.RefusedRequestError):
        node.rpc.client.call("GET", f"/urls/http%3A%2F%2Fh%2F?{query}")


# -- bundles ----------------------------------------------------------------------------------


def test_many_small_ones_come_in_one_answer_and_large_ones_by_themselves(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    bodies = {origin.add(f"/f{n}", body): body for n, body in enumerate([b"", *_bodies(30)])}
    large = origin.add("/large", b"x" * (SMALL + 1))
    bodies[large] = b"x" * (SMALL + 1)
    with served.remote(tmp_path / "node", shared=False) as node:
        before = served.server._app.answered
        paths = node.get_many(list(bodies))
        asked = served.server._app.answered - before
        assert [path.read_bytes() for path in paths] == list(bodies.values())
        assert all(str(path).startswith(str(tmp_path / "node")) for path in paths)
        # One to stage, some to wait, some for bundles, one for the large one: not one for each.
        assert asked < len(bodies)
        hit = node.find(next(iter(bodies)))
        assert hit is not None
        assert hit.entry.etag == f'"{hit.address}"'
        assert node.get_many(list(bodies)) == paths
    assert all(len(origin.seen(url[url.rindex("/") :])) == 1 for url in bodies)


def test_what_came_in_a_bundle_is_asked_about_like_anything_else(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    urls = [origin.add(f"/f{n}", b"%d" % n) for n in range(20)]
    with served.remote(tmp_path / "node", shared=False) as node:
        node.get_many(urls)
        assert node.get(urls[3], revalidate=True).read_bytes() == b"3"
        origin.add("/f3", b"new")
        assert node.get(urls[3], revalidate=True).read_bytes() == b"new"


def test_an_error_among_many_is_that_urls_own(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    urls = [origin.add(f"/f{n}", b"%d" % n) for n in range(20)]
    with served.remote(tmp_path / "node", shared=False) as node:
        *good, bad = node.prefetch([*urls, origin.url("/nothing")])
        assert all(request.result(30) for request in good)
        with pytest.raises(errors.NotFoundError):
            bad.result(30)


def test_a_bundle_names_what_it_holds_and_leaves_the_rest_out(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    urls = [origin.add(f"/f{n}", body) for n, body in enumerate((b"abc", b"x" * (SMALL + 1)))]
    with served.remote(tmp_path / "node") as node:
        node.get_many(urls)
        asked = json.dumps([urls[1], "http://h/unknown", urls[0]]).encode()
        kind = {"Content-Type": "application/json"}
        answer = node.rpc.client.call("POST", "/bundle", asked, kind)
        head, _, body = answer.body.partition(b"\n")
        found = json.loads(head)
        assert found["looked"] == 3
        assert [each[:2] for each in found["objects"]] == [[2, 3]]
        assert body == b"abc"
        for wrong in (b"", b"{}", b"[1]", b"[" * 100_000, b'["nonsense"]'):
            with pytest.raises((errors.RefusedRequestError, errors.InvalidURLError)):
                node.rpc.client.call("POST", "/bundle", wrong, kind)


def test_a_bundle_that_was_tampered_with_is_not_believed(
    served: Serving, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fscache.server import pulls

    real = pulls._read
    monkeypatch.setattr(pulls, "_read", lambda path: (real(path) or b"")[:-1] + b"!")
    urls = [origin.add(f"/f{n}", b"body %d" % n) for n in range(20)]
    with served.remote(tmp_path / "node", shared=False) as node:
        paths = node.get_many(urls)
        assert [path.read_bytes() for path in paths] == [b"body %d" % n for n in range(20)]


def test_more_than_fit_into_one_bundle_come_in_several(
    served: Serving, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fscache.server import pulls

    monkeypatch.setattr(pulls, "BUNDLE", 4000)
    assert MOST > 40
    urls = [origin.add(f"/f{n}", body) for n, body in enumerate(_bodies(40))]
    with served.remote(tmp_path / "node", shared=False) as node:
        assert [path.read_bytes() for path in node.get_many(urls)] == _bodies(40)


def _bodies(count: int) -> list[bytes]:
    return [b"%03d" % number * (100 + number) for number in range(count)]
