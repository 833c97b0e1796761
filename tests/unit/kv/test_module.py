"""Promises of the package fscache.kv: functions on the default cache's store."""

from __future__ import annotations

import inspect
import pickle
from typing import TYPE_CHECKING

import pytest

import fscache
from fscache import kv
from fscache.kv.face import KeyValues
from fscache.kv.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.records.root import Root


@pytest.fixture
def installed(root: Root) -> Iterator[LocalStore]:
    store = LocalStore(root)
    kv.install(lambda: store)
    yield store
    kv.install(None)


def test_the_functions_do_what_the_methods_do(installed: LocalStore) -> None:
    kv.put("a", 1, ttl=100, tags=["t"])
    kv.multiput({"b": 2, "c": 3})
    assert kv.default() is installed
    assert kv.get("a") == 1
    assert kv.get("z", None) is None
    assert kv.multiget(["a", "b"]) == {"a": 1, "b": 2}
    assert kv.keys() == ["a", "b", "c"]
    assert list(kv.items("b")) == [("b", 2)]
    assert list(kv.values("b")) == [2]
    assert kv.incr("b", 5) == 7
    assert kv.cas("c", 3, 4)
    assert kv.cas("c", kv.version("c"), 5)
    assert kv.setdefault("d", 6) == 6
    assert kv.tagged("t") == ["a"]
    assert kv.tags("a") == ("t",)
    assert kv.ttl("a") == pytest.approx(100)
    assert kv.expire("a", None)
    assert kv.ttl("a") is None
    assert kv.pop("d") == 6
    assert kv.delete("c")
    assert kv.sweep() == 0
    assert kv.memoize(lambda x: x + 1, name="f")(1) == 2
    kv.store("other").put("x", 1)
    assert kv.stores() == ["default", "other"]
    watch = kv.watch("w", timeout=20)
    kv.put("w", 1)
    assert next(watch) == "w"


def test_the_module_is_a_mapping(installed: LocalStore) -> None:
    assert bool(kv)  # a module, however empty the store
    assert (len(kv), "a" in kv, list(kv)) == (0, False, [])
    kv["b"], kv["a"] = 2, 1
    assert (len(kv), "a" in kv, list(kv)) == (2, True, ["a", "b"])
    assert kv["a"] == installed["a"] == 1
    assert dict(kv) == {"a": 1, "b": 2}
    del kv["a"]
    with pytest.raises(KeyError):
        kv["a"]
    assert inspect.ismodule(kv)


def test_the_module_travels_by_its_name(installed: LocalStore) -> None:
    assert pickle.loads(pickle.dumps(kv)) is kv
    cloudpickle = pytest.importorskip("cloudpickle")
    assert cloudpickle.loads(cloudpickle.dumps(lambda: kv))() is kv


def test_every_method_of_a_store_is_a_function_with_the_same_parameters() -> None:
    mapping_face = {"update", "clear", "popitem"}
    for name, method in inspect.getmembers(KeyValues, inspect.isfunction):
        if name.startswith("_") or name in mapping_face:
            continue
        function = getattr(kv, name)
        theirs = list(inspect.signature(method).parameters)[1:]
        ours = list(inspect.signature(function).parameters)
        assert ours == [each for each in theirs if each != "once"], name
        assert name in kv.__all__


def test_the_default_store_is_the_default_caches(
    monkeypatch: pytest.MonkeyPatch, root_path: str
) -> None:
    monkeypatch.setenv("FSCACHE_ROOT", root_path)
    monkeypatch.setattr(fscache, "_cache", None)
    kv.put("key", "value")
    assert kv.default() is fscache.default().kv
    assert fscache.Cache(root_path).kv.get("key") == "value"
    assert fscache.kv is kv
