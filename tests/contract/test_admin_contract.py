"""What an administrator may ask of a cache, on one root and on a server's: the same answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache import config, errors
from fscache.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.origin import Origin
    from tests.support.servers import Serving


@pytest.fixture(params=["local", "remote"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    """A cache whose objects are old enough to be purged; its root is `served`."""
    quick = config.load({}, {"attempts": 2, "root": str(tmp_path / "served")}, "/nonexistent")
    if request.param == "local":
        with Cache(config=quick) as made:
            yield made
        return
    served = request.getfixturevalue("served")
    with served.remote(tmp_path / "node", token=served.token("admin")) as made:
        yield made


def fill(cache: Cache, origin: Origin, sizes: dict[str, int]) -> dict[str, str]:
    urls = {name: origin.add(f"/{name}", os.urandom(size)) for name, size in sizes.items()}
    for url in urls.values():
        cache.get(url)
    return urls


def test_ls_lists_sorts_filters_and_cuts_off(cache: Cache, origin: Origin) -> None:
    urls = fill(cache, origin, {"a": 1000, "b": 3000, "c": 2000})
    admin = cache.admin
    assert {row["name"] for row in admin.ls()} == set(urls.values())
    rows = admin.ls(["size>1500"], sort="size", kind="url")
    assert [(row["name"], row["size"], row["kind"]) for row in rows] == [
        (urls["b"], 3000, "url"),
        (urls["c"], 2000, "url"),
    ]
    assert [row["name"] for row in admin.ls(sort="size", reverse=True, limit=1)] == [urls["a"]]
    with pytest.raises(errors.InvalidFilterError):
        admin.ls(["size ? 5"])
    for wrong in ({"kind": "nothing"}, {"sort": "colour"}, {"limit": -1}):
        with pytest.raises(ValueError, match="is"):
            admin.ls(**wrong)
    with pytest.raises(TypeError, match="limit is a number"):
        admin.ls(limit="many")


def test_du_adds_up(cache: Cache, origin: Origin) -> None:
    fill(cache, origin, {"a": 1000, "b": 3000})
    found = cache.admin.du()
    assert (found["total"]["count"], found["total"]["size"]) == (2, 4000)
    assert found["kind"]["url"]["size"] == 4000
    assert sum(each["count"] for each in found["host"].values()) == 2
    assert sum(each["size"] for each in found["age"].values()) == 4000
    assert found["disk"]["total"] >= found["disk"]["objects"] >= 4000


def test_a_purge_says_what_would_go_then_removes_it(cache: Cache, origin: Origin) -> None:
    urls = fill(cache, origin, {"a": 1000, "b": 3000})
    admin = cache.admin
    plan = admin.purge(max_size=0, grace=0.0, match="*/b", dry_run=True)
    assert (plan["dry_run"], plan["objects"], plan["freed"]) == (True, 1, 3000)
    assert [each["name"] for each in plan["candidates"]] == [urls["b"]]
    assert len(admin.ls()) == 2
    done = admin.purge(max_size=0, grace=0.0, match="*/b")
    assert (done["dry_run"], done["objects"], done["freed"]) == (False, 1, 3000)
    assert [row["name"] for row in admin.ls()] == [urls["a"]]


def test_a_purge_without_a_reason_and_without_limits_takes_nothing(
    cache: Cache, origin: Origin
) -> None:
    fill(cache, origin, {"a": 1000})
    assert cache.admin.purge()["objects"] == 0


def test_what_is_pinned_stays_until_it_is_unpinned(cache: Cache, origin: Origin) -> None:
    urls = fill(cache, origin, {"a": 1000, "b": 3000})
    admin = cache.admin
    address = admin.ls(["size=3000"])[0]["address"]
    assert admin.pin(urls["a"])
    assert not admin.pin(urls["a"])
    assert admin.pin(address)
    assert [row["pinned"] for row in admin.ls()] == [True, True]
    assert admin.purge(max_size=0, grace=0.0)["spared"] == {"pinned": 2}
    assert admin.unpin(address)
    assert not admin.unpin(address)
    assert admin.purge(max_size=0, grace=0.0)["objects"] == 1
    with pytest.raises(errors.NotCachedError):
        admin.pin("http://127.0.0.1/nothing")
    with pytest.raises(errors.InvalidAddressError):
        admin.unpin("nothing")


def test_verify_finds_what_was_damaged_and_repairs_it(
    cache: Cache, origin: Origin, tmp_path: Path
) -> None:
    fill(cache, origin, {"a": 1000, "b": 3000})
    admin = cache.admin
    clean = admin.verify()
    assert (clean["objects"], clean["hashed"], clean["findings"]) == (2, 2, [])
    (row,) = admin.ls(["size=3000"])
    path = str(cache.path(row["address"])).replace(str(tmp_path / "node"), str(tmp_path / "served"))
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(b"\0\0\0")
    found = admin.verify()
    assert [each["finding"] for each in found["findings"]] == ["flipped"]
    assert found["repaired"] == 0
    mended = admin.verify(repair=True)
    assert (mended["found"], mended["repaired"]) == (1, 1)
    assert admin.verify()["found"] == 0


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": -1.0}, {"sample": 1.5}, {"sample": -1}])
def test_a_share_or_a_rate_that_makes_no_sense_is_refused(
    cache: Cache, origin: Origin, options: dict[str, float]
) -> None:
    fill(cache, origin, {"a": 10})
    with pytest.raises(ValueError, match=f"{next(iter(options))} is "):
        cache.admin.verify(**options)  # type: ignore[arg-type]


def test_reindex_says_what_it_found(cache: Cache, origin: Origin) -> None:
    fill(cache, origin, {"a": 1000, "b": 3000})
    found = cache.admin.reindex()
    assert (found["objects"], found["bytes"], found["entries"]) == (2, 4000, {"url": 2})


def test_a_root_that_holds_nothing_has_nothing_to_look_after(tmp_path: Path) -> None:
    with pytest.raises(errors.NotACacheError):
        Cache(tmp_path / "empty").admin.ls()


# -- of a server only -------------------------------------------------------------------------


def test_the_role_use_may_none_of_it(served: Serving, tmp_path: Path) -> None:
    with served.remote(tmp_path / "node") as node:
        admin = node.admin
        for call in (
            admin.ls,
            admin.du,
            admin.purge,
            admin.verify,
            admin.reindex,
            lambda: admin.pin("x"),
            lambda: admin.unpin("x"),
            lambda: node.rpc("admin.result", "x", 0.0),
        ):
            with pytest.raises(errors.AccessDeniedError, match="needs the role admin"):
                call()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("admin.ls", ([], {"colour": "red"})),
        ("admin.ls", ([], ["size"])),
        ("admin.purge", ({"force": True},)),
        ("admin.verify", ([1],)),
        ("admin.result", ("x", "soon")),
    ],
)
def test_options_that_there_are_none_of_are_refused(
    served: Serving, tmp_path: Path, method: str, params: tuple[object, ...]
) -> None:
    with (
        served.remote(tmp_path / "node", token=served.token("admin")) as node,
        pytest.raises(errors.RefusedRequestError),
    ):
        node.rpc(method, *params)


def test_a_long_call_that_nobody_knows_is_unknown(served: Serving, tmp_path: Path) -> None:
    with (
        served.remote(tmp_path / "node", token=served.token("admin")) as node,
        pytest.raises(errors.UnknownRequestError),
    ):
        node.rpc("admin.result", "nothing", 0.0)


def test_long_work_fails_where_its_result_is_asked_for(served: Serving, tmp_path: Path) -> None:
    with (
        served.remote(tmp_path / "node", token=served.token("admin")) as node,
        pytest.raises(ValueError, match="size"),
    ):
        node.admin.purge(min_free="much")
