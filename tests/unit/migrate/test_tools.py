"""Caches that the tools themselves have made, where they are installed: `pip install --group bench`.

Each tool fetches from a real origin in a process of its own; its cache is then brought over, and its
URLs are there, without a network. The layouts they made when this was written are in `tests.support`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fscache.migrate import huggingface, migration
from fscache.migrate.readers import detect
from fscache.urls.index import URLIndex
from tests.support.migrations import COMMIT, git_sha1, migrate
from tests.support.origin import Origin, Page

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.records.root import Root

BODIES = {"a.csv": b"one,two\n" * 1000, "b.bin": bytes(range(256)) * 300}


def run(module: str, home: Path, code: str, *arguments: str) -> None:
    """Run a program that uses a tool, which must be here."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    environment = {"HOME": str(home), "PATH": os.defpath, "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()


def assert_here(root: Root, url: str, body: bytes) -> None:
    hit = URLIndex(root).find(url, verify=True)
    assert hit is not None, url
    with open(hit.path, "rb") as file:
        assert file.read() == body


def test_pooch(live: Root, origin: Origin, tmp_path: Path) -> None:
    urls = {name: origin.add(f"/data/{name}", body) for name, body in BODIES.items()}
    old = tmp_path / "old"
    code = """if True:
        import sys, pooch
        old, *urls = sys.argv[1:]
        for url in urls:
            pooch.retrieve(url, known_hash=None, path=old, progressbar=False)
    """
    run("pooch", tmp_path, code, str(old), *urls.values())
    assert detect(str(old)) == "pooch"
    done = migrate(live, str(old), lines=urls.values())
    assert (done.moved.files, done.moved.urls, done.passed) == (2, 2, 0)
    for name, url in urls.items():
        assert_here(live, url, BODIES[name])


def test_pooch_with_a_registry(live: Root, origin: Origin, tmp_path: Path) -> None:
    for name, body in BODIES.items():
        origin.add(f"/data/{name}", body)
    registry = tmp_path / "registry.txt"
    lines = [f"{name} sha256:{hashlib.sha256(body).hexdigest()}" for name, body in BODIES.items()]
    registry.write_text("\n".join(lines))
    old = tmp_path / "old"
    code = """if True:
        import sys, pooch
        old, base, registry = sys.argv[1:]
        made = pooch.create(path=old, base_url=base, registry=None)
        made.load_registry(registry)
        for name in made.registry_files:
            made.fetch(name)
    """
    run("pooch", tmp_path, code, str(old), origin.url("/data/"), str(registry))
    done = migrate(live, str(old), form="pooch", lines=lines, base_url=origin.url("/data/"))
    assert (done.moved.files, done.moved.urls, done.passed) == (2, 2, 0)
    for name, body in BODIES.items():
        assert_here(live, origin.url(f"/data/{name}"), body)


def test_astropy(live: Root, origin: Origin, tmp_path: Path) -> None:
    urls = {name: origin.add(f"/data/{name}", body) for name, body in BODIES.items()}
    old = tmp_path / "old"
    old.mkdir()
    code = """if True:
        import sys
        from astropy.config import set_temp_cache
        from astropy.utils.data import download_file
        old, *urls = sys.argv[1:]
        with set_temp_cache(old):
            for url in urls:
                download_file(url, cache=True, show_progress=False)
    """
    run("astropy", tmp_path, code, str(old), *urls.values())
    top = str(old / "astropy") if (old / "astropy").is_dir() else str(old)
    assert detect(top) == "astropy"
    done = migrate(live, top)
    assert (done.moved.files, done.moved.urls, done.passed) == (2, 2, 0)
    for name, url in urls.items():
        assert_here(live, url, BODIES[name])


def test_huggingface_hub(
    live: Root, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for revision in ("main", COMMIT):
        for name, body in BODIES.items():
            large = name == "b.bin"
            etag = hashlib.sha256(body).hexdigest() if large else git_sha1(body)
            page = Page(body, etag=f'"{etag}"', headers={"X-Repo-Commit": COMMIT})
            origin.add(f"/org/name/resolve/{revision}/{name}", page)
    old = tmp_path / "old"
    code = """if True:
        import sys
        from huggingface_hub import hf_hub_download
        old, endpoint, *names = sys.argv[1:]
        for name in names:
            hf_hub_download("org/name", name, cache_dir=old, endpoint=endpoint)
    """
    run("huggingface_hub", tmp_path, code, str(old), origin.base, *BODIES)
    assert detect(str(old)) == "huggingface"
    readers = {
        **migration.READERS,
        "huggingface": lambda top, urls: huggingface.read(top, urls, origin.base),
    }
    monkeypatch.setattr(migration, "READERS", readers)
    done = migrate(live, str(old))
    assert (done.moved.files, done.passed) == (2, 0)
    for name, body in BODIES.items():
        for revision in ("main", COMMIT):
            assert_here(live, f"{origin.base}/org/name/resolve/{revision}/{name}", body)
