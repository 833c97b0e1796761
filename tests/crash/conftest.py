"""What crash tests share: roots at the point of an operation, and the judgement of what is left."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from fscache.objects.digest import digest_of
from fscache.records.entryfile import decode
from fscache.records.root import Root
from fscache.records.rootformat import DIRECTORIES
from fscache.urls.index import URLIndex
from fscache.urls.partials import SWEEP_AGE, Partials
from tests.support.listing import files
from tests.support.strace import can_inject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KNOWN = {*DIRECTORIES, "spool", "FORMAT", "CACHEDIR.TAG"}
"""What may lie in a root here; a catalog is made by none of these tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/crash/" in item.path.as_posix():
            item.add_marker(pytest.mark.crash)


@pytest.fixture
def injection() -> None:
    """Skip where strace cannot kill and fail processes."""
    if not can_inject():
        pytest.skip("needs strace, and the right to trace processes")


@pytest.fixture
def quick_tmp(tmp_path: Path) -> Iterator[str]:
    """A directory in memory, where there is such: a sync there costs nothing."""
    try:
        path = tempfile.mkdtemp(prefix="fscache-test-", dir="/dev/shm")
    except OSError:
        yield str(tmp_path)
        return
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def faults(path: str, *, modes: tuple[int, ...] = (0o444, 0o440)) -> list[str]:
    """Return what is wrong under the final names of a root, whole or half made."""
    if not os.path.isdir(path):
        return []
    found = [f"{name} in quarantine" for name in files(f"{path}/quarantine")]
    found += [f"{name} in the root" for name in set(os.listdir(path)) - KNOWN]
    for name in files(f"{path}/objects"):
        file = f"{path}/objects/{name}"
        if digest_of(read(file))[:20] != name.replace("/", "").partition("-")[0]:
            found.append(f"object {name} has other bytes")
        if stat.S_IMODE(os.stat(file).st_mode) not in modes:
            found.append(f"object {name} has mode {oct(os.stat(file).st_mode)}")
    for name in files(f"{path}/urls"):
        try:
            decode(read(f"{path}/urls/{name}"))
        except ValueError as exc:
            found.append(f"entry {name}: {exc}")
    if os.path.exists(f"{path}/FORMAT"):
        found += _faults_of_entries(URLIndex(Root(path, now=time.time)))
    return found


def _faults_of_entries(index: URLIndex) -> Iterator[str]:
    for entry, _object, status in index.scan():
        if status is None:
            yield f"entry of {entry.url} has no object"
        elif index.find(entry.url, verify=True) is None:
            yield f"entry of {entry.url} has another object"


def sweep(path: str) -> list[str]:
    """Sweep as a fetch long after would; return what is left of temporary files."""
    root = Root(path, now=time.time)
    later = time.time() + SWEEP_AGE + 60
    Partials(f"{path}/partial", root.writer, lambda: later).sweep()
    return os.listdir(f"{path}/partial")
