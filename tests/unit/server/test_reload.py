"""What a reload takes over, what it leaves as it is, and what it says of the rest."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache import errors
from fscache.config import SETTINGS
from fscache.server.service import RELOADED, load_config
from tests.support.origin import Origin, Page
from tests.support.servers import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Callable

FIXED = {
    *("root", "tiers", "offline", "group", "world_readable", "durability", "split"),
    *("tasks", "tasks_max_records", "tasks_max_size", "tasks_max_age"),
    *("grid", "grid_tls"),
}


def reload(served: Serving, **given: Any) -> list[str]:
    settings = {"allow_private": True, "attempts": 2, **given}
    return served.server.reload(load_config(served.root, settings.pop("workers", None), **settings))


def test_every_setting_is_taken_over_or_holds_from_the_next_start_on() -> None:
    assert FIXED.isdisjoint(RELOADED)
    assert set(SETTINGS) == RELOADED | FIXED


def test_mirrors_and_hosts_change_for_the_next_request(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    with Origin() as near, served.remote(tmp_path / "node", shared=False) as node:
        near.add("/b", b"near")
        assert node.get(origin.add("/a", b"far")).read_bytes() == b"far"
        assert reload(served, mirrors={f"{origin.base}/": [f"{near.base}/"]}) == []
        assert node.get(origin.add("/b", b"far")).read_bytes() == b"near"
        assert origin.seen("/b") == []
        reload(served, deny_hosts="127.*")
        with pytest.raises(errors.TargetRefusedError):
            node.get(origin.add("/c", b"far"))


def test_what_is_under_way_goes_on_and_is_fetched_once(
    served: Serving, origin: Origin, tmp_path: Path, until: Callable[..., None]
) -> None:
    gate = threading.Event()
    url = origin.add("/slow", Page(b"x" * 3_000_000, gate=gate.wait))
    with served.remote(tmp_path / "node", shared=False) as node:
        (before,) = node.prefetch([url])
        until(lambda: origin.seen("/slow"), "the request")
        reload(served, per_host=1)
        with served.remote(tmp_path / "other", shared=False) as other:
            (after,) = other.prefetch([url])  # asked of the new stager: the old one has the claim
            until(lambda: len(list(served.server.board.under_way())) == 2, "both askers")
            gate.set()
            assert before.result(60).stat().st_size == 3_000_000
            assert after.result(60).stat().st_size == 3_000_000
    assert len(origin.seen("/slow")) == 1


def test_a_stop_does_not_wait_for_what_began_before_a_reload(
    tmp_path: Path, origin: Origin, until: Callable[..., None]
) -> None:
    url = origin.add("/slow", Page(b"x" * 3_000_000, stall_at=2_000_000))
    with serving(tmp_path / "root") as served, served.remote(tmp_path / "node") as node:
        node.rpc("url.stage", [url])
        until(lambda: origin.seen("/slow"), "the request")
        reload(served, workers=2)
    assert len(os.listdir(tmp_path / "root/spool/cur")) == 1


def test_limits_of_size_change_for_uploads_and_transfers(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    with served.remote(tmp_path / "node", shared=False) as node:
        node.get(origin.add("/a", b"x" * 3000))
        reload(served, max_size=2000)
        with pytest.raises(errors.NoSpaceError):
            node.get(origin.add("/b", b"x" * 3000))
        with pytest.raises(errors.NoSpaceError):
            node.put(b"y" * 3000)
        reload(served, max_size=1_000_000)
        assert node.get(origin.add("/b", b"x" * 3000)).stat().st_size == 3000


def test_what_needs_a_restart_is_said_and_not_done(served: Serving) -> None:
    assert reload(served, durability="power", workers=3) == ["durability"]
    assert served.server.cache.root.writer.durable is False


@pytest.mark.parametrize("given", [{"allow_networks": "10.0.0.0/99"}, {"max_size": "much"}])
def test_what_cannot_be_used_changes_nothing(
    served: Serving, origin: Origin, tmp_path: Path, given: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigError):
        reload(served, deny_hosts="*", **given)
    with served.remote(tmp_path / "node", shared=False) as node:
        assert node.get(origin.add("/a", b"abc")).read_bytes() == b"abc"


def test_a_token_file_that_others_may_read_changes_nothing(
    served: Serving, origin: Origin, tmp_path: Path
) -> None:
    path = Path(served.root, "tokens")
    token = served.token()
    path.chmod(0o644)
    with pytest.raises(errors.ConfigError, match="others may read it"):
        reload(served, deny_hosts="*")
    path.chmod(0o600)
    with served.remote(tmp_path / "node", token=token, shared=False) as node:
        assert node.get(origin.add("/a", b"abc")).read_bytes() == b"abc"
