"""What a hit may import: nothing that costs more than the hit itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fscache.records.root import Root
from tests.support.listing import files
from tests.support.staging import URL, stage_into

REPOSITORY = Path(__file__).parents[2]
HEAVY = {
    "argparse",
    "asyncio",
    "contextlib",
    "dataclasses",
    "email",
    "filelock",
    "getpass",
    "hashlib",
    "http",
    "inspect",
    "json",
    "keyring",
    "logging",
    "pathlib",
    "pickle",
    "pycurl",
    "re",
    "requests",
    "socket",
    "sqlite3",
    "ssl",
    "stager",
    "subprocess",
    "tempfile",
    "threading",
    "tomllib",
    "typing",
    "urllib",
    "watchdog",
    "xmlrpc",
}
"""Of these, only what the interpreter itself has imported at its start may be there afterwards."""


def imported(code: str, **environment: str) -> set[str]:
    """Return the heavy modules that are there after `code`, and were not before it."""
    program = f"""if 1:
        import sys
        before = set(sys.modules)
        {code}
        print(*{{name.partition('.')[0] for name in set(sys.modules) - before}})
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env={"PATH": os.defpath, "HOME": "/nonexistent", **environment},
    )
    return set(done.stdout.split()) & HEAVY


@pytest.fixture
def filled(tmp_path: Path, clock: object) -> str:
    root = Root(str(tmp_path / "cache"), now=lambda: 1_700_000_000.0)
    root.ensure()
    stage_into(root, URL, b"bytes")
    return root.path


def test_the_package_imports_nothing_heavy() -> None:
    assert imported("import fscache") == set()


@pytest.mark.parametrize(
    "call",
    [
        f"fscache.get({URL!r})",
        f"fscache.get({URL!r}); fscache.get({URL!r})",
        f"fscache.get({URL!r}, offline=True)",
        f"fscache.get({URL!r}, max_age=1e12)",
        f"fscache.get({URL!r}, verify=True)",
        f"fscache.get([{URL!r}, 'https://mirror/file'])",
        f"fscache.lookup({URL!r})",
        f"fscache.path({URL!r})",
        "fscache.path({address!r})",
        f"fscache.Cache({{root!r}}).get({URL!r})",
        f"str(fscache.get({URL!r}))",
        f"open(fscache.get({URL!r})).read()",
    ],
)
def test_a_hit_imports_nothing_heavy(filled: str, call: str) -> None:
    [name] = files(f"{filled}/objects")
    call = call.replace("{address!r}", repr(name.replace("/", "")))
    call = call.replace("{root!r}", repr(filled))
    assert imported(f"import fscache; {call}", FSCACHE_ROOT=filled) == set()


def test_a_hit_whose_access_is_recorded_imports_nothing_heavy(filled: str) -> None:
    [name] = files(f"{filled}/objects")
    path = f"{filled}/objects/{name}"
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns))
    assert imported(f"import fscache; fscache.get({URL!r})", FSCACHE_ROOT=filled) <= {"socket"}
    assert os.stat(path).st_atime > 0


def test_a_hit_in_a_tier_imports_nothing_heavy(filled: str, tmp_path: Path) -> None:
    environment = {"FSCACHE_ROOT": str(tmp_path / "own"), "FSCACHE_TIERS": filled}
    assert imported(f"import fscache; fscache.get({URL!r})", **environment) == set()
    assert not (tmp_path / "own").exists()


def test_the_credentials_and_the_stager_do_not_import_the_cache() -> None:
    for package in ("credentials.chain", "stager.service", "stager.transports"):
        done = subprocess.run(
            [sys.executable, "-c", f"import {package}, sys; print(*sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
        )
        top = {name.partition(".")[0] for name in done.stdout.split()}
        assert "fscache" not in top
        assert package.startswith("stager") or "stager" not in top
