"""What a hit costs: in a process that has had it before, in a new process, from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from harness import Case, compare, main, repeat

# A node runs installed, compiled code; an environment that forbids it would measure the compiler.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
SIZES = {"1 MiB": 1 << 20, "1 GiB": 1 << 30}


def _prepared(top: str, size: int) -> tuple[object, str, str]:
    """Make a cache that holds one file behind a `file:` URL."""
    from fscache import Cache

    source = Path(top, "source.bin")
    with source.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    cache = Cache(f"{top}/root")
    url = source.as_uri()
    path = str(cache.get(url))
    return cache, url, path


def in_process(rounds: int) -> dict:
    """A hit against `os.stat`, and against peers that are installed."""
    figures = {}
    for label, size in SIZES.items():
        with tempfile.TemporaryDirectory() as top:
            cache, url, path = _prepared(top, size)
            cases = [
                Case("os.stat", repeat(partial(os.stat, path), 50_000)),
                Case("fscache", repeat(partial(cache.get, url), 50_000)),
                *_peers(top, path, 1000 if size < 1 << 25 else 2),
            ]
            figures[label] = compare(f"A hit in process, {label}", cases, "os.stat", rounds=rounds)
    return figures


def _peers(top: str, path: str, times: int) -> list[Case]:
    cases = []
    try:
        import pooch

        def with_hash(sha: str | None) -> None:
            pooch.retrieve("https://host.invalid/x", sha, fname="x", path=top, progressbar=False)

        os.link(path, f"{top}/x")
        pooch.get_logger().disabled = True
        digest = pooch.file_hash(path)
        cases.append(Case("pooch, sha256", repeat(lambda: with_hash(digest), times)))
        cases.append(Case("pooch, no hash", repeat(lambda: with_hash(None), 1000)))
    except ImportError:
        pass
    return cases


def new_process(rounds: int) -> dict:
    """A new Python process with one hit, and the command line's `path`, against `python -c pass`."""
    with tempfile.TemporaryDirectory() as top:
        _, url, _ = _prepared(top, 1 << 20)
        env = {**ENVIRONMENT, "FSCACHE_ROOT": f"{top}/root"}
        script = str(Path(sys.executable).with_name("fscache"))

        def process(*command: str) -> Case:
            def run() -> None:
                for _ in range(5):
                    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)

            run()  # compiled files are there from now on
            return run

        python = sys.executable
        return compare(
            "A new process and one hit (five of them)",
            [
                Case("python -c pass", process(python, "-c", "pass")),
                Case("fscache.get", process(python, "-c", f"import fscache; fscache.get({url!r})")),
                Case("fscache path", process(script, "path", url)),
                Case("import pathlib", process(python, "-c", "import pathlib")),
                Case("import requests", process(python, "-c", "import requests")),
            ],
            "python -c pass",
            rounds=rounds,
        )


if __name__ == "__main__":
    main({"in_process": in_process, "new_process": new_process})
