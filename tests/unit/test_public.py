"""The public names, pinned: adding one is a decision, losing one breaks programs."""

from __future__ import annotations

import inspect

import pytest

import fscache
from fscache.cache import Cache
from fscache.remote.cache import RemoteCache
from tests.support.staging import URL

PACKAGE = [
    "Cache",
    "FetchRequest",
    "FetchService",
    "FileCache",
    "RemoteCache",
    "URL_CACHE_PATH",
    "config",
    "connect_sql",
    "default",
    "errors",
    "forget",
    "get",
    "get_many",
    "kv",
    "lease",
    "lookup",
    "open",
    "path",
    "prefetch",
    "put",
    "sql",
    "tasks",
    "urlcache",
    "use_remote",
]
CACHE = [
    "admin",
    "close",
    "entries",
    "find",
    "forget",
    "get",
    "get_many",
    "kv",
    "lease",
    "lookup",
    "met",
    "open",
    "path",
    "prefetch",
    "put",
    "tasks",
    "wait_met",
]
NOT_OURS = {"TYPE_CHECKING", "annotations"}


def public(thing: object) -> list[str]:
    return sorted(name for name in dir(thing) if not name.startswith("_") and name not in NOT_OURS)


def test_the_names_of_the_package() -> None:
    # A subpackage becomes a name of the package wherever it is imported; that promises nothing.
    found = {
        name
        for name in public(fscache)
        if name in PACKAGE or not inspect.ismodule(getattr(fscache, name))
    }
    assert sorted(found) == PACKAGE


@pytest.mark.parametrize("name", PACKAGE)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(fscache, name)
    assert name == "URL_CACHE_PATH" or inspect.getdoc(value)


def test_the_methods_of_a_cache() -> None:
    assert public(Cache) == CACHE


def test_a_remote_cache_has_the_same_methods_with_the_same_options() -> None:
    assert set(public(Cache)) <= set(public(RemoteCache))
    for name in ("get", "get_many", "prefetch", "lookup", "forget", "open", "lease", "put", "path"):
        here = inspect.signature(getattr(Cache, name)).parameters
        there = inspect.signature(getattr(RemoteCache, name)).parameters
        assert list(there)[: len(here)] == list(here), name


@pytest.mark.parametrize("name", sorted({*CACHE} & {*PACKAGE} - {"kv", "tasks"}))
def test_what_is_both_a_function_and_a_method_takes_the_same_first_argument(name: str) -> None:
    function = list(inspect.signature(getattr(fscache, name)).parameters)
    method = list(inspect.signature(getattr(Cache, name)).parameters)
    assert function[0] == method[1]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fscache.no_such_name


def test_the_functions_use_the_cache_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, root_path: str
) -> None:
    monkeypatch.setenv("FSCACHE_ROOT", root_path)
    monkeypatch.setattr(fscache, "_cache", None)
    assert fscache.default() is fscache.default()
    address = fscache.put(b"bytes")
    assert fscache.path(address).read_bytes() == b"bytes"
    assert str(fscache.path(address)).startswith(root_path)
    assert fscache.lookup(URL) is None
    assert fscache.forget(URL) is False
    fscache.default().close()


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert fscache.__version__ == version("fscache")
