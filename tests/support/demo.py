"""`make demo`: the main job, for real, on this machine alone.

A throw-away HTTP server serves files of mixed sizes: one slow, one that drops the connection half-way
once, one behind Basic auth, one that redirects. They are staged through the code that everybody uses,
read back by a job script in a process of its own, and listed by last access.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from fscache import Cache, config
from fscache.units import format_duration, format_size
from tests.support.origin import Origin, Page, redirect

JOB = """
import sys, time, hashlib, fscache
for line in sys.stdin:
    url, sha256 = line.split()
    start = time.perf_counter()
    path = fscache.get(url)
    took = time.perf_counter() - start
    good = hashlib.sha256(open(path, "rb").read()).hexdigest() == sha256
    print(url, took, "right" if good else "WRONG", flush=True)
    if not good:
        sys.exit(1)
"""

MIB = 1 << 20
SIZES = {
    "one-byte.bin": 1,
    "readme.txt": 4096,
    "table.csv": 300_000,
    "image.fits": 5 * MIB,
    "model.nc": 64 * MIB,
    "slow.bin": MIB,
    "drops.bin": 8 * MIB,
    "secret.bin": 100_000,
}


def main() -> int:
    """Run the demo; 0 if every byte was right."""
    bodies = {name: os.urandom(size) for name, size in SIZES.items()}
    with tempfile.TemporaryDirectory(prefix="fscache-demo-") as top, Origin() as origin:
        urls = _serve(origin, bodies)
        root = f"{top}/cache"
        settings = {**os.environ, "FSCACHE_ROOT": root, "NETRC": _netrc(top), "HOME": top}
        cache = Cache(config=config.load(settings))
        print(
            f"An HTTP server offers {len(urls)} files, {format_size(sum(SIZES.values()))} in all.\n"
        )
        took = _stage(cache, urls)
        served = {name: len(origin.seen(f"/{name}")) for name in SIZES}
        again = origin.seen("/drops.bin")[-1].headers.get("range")
        print(f"\n  drops.bin broke half-way and went on with Range: {again}")
        print(f"  requests that reached the server: {sum(served.values())} for {len(urls)} URLs\n")
        hits = _job(settings, urls, bodies)
        if hits is None:
            return 1
        _compare(took, hits, urls)
        print("\n$ fscache admin ls --sort atime", flush=True)  # it writes to the same output
        program = str(Path(sys.executable).with_name("fscache"))
        listing = [program, "admin", "ls", "--sort", "atime"]
        code = subprocess.run(listing, env=settings, check=False).returncode
        cache.close()
    print("\nEverything arrived, was verified and was read back." if not code else "\nFAILED")
    return code


def _serve(origin: Origin, bodies: dict[str, bytes]) -> dict[str, str]:
    urls = {}
    for name, body in bodies.items():
        page = Page(body)
        if name == "slow.bin":
            page = Page(body, step=64 << 10, gate=partial(threading.Event().wait, 0.05))
        if name == "secret.bin":
            page = Page(body, auth="Basic ZGVtbzpkZW1v")
        pages = [Page(body, cut_at=len(body) // 2), page] if name == "drops.bin" else [page]
        urls[name] = origin.add(f"/{name}", *pages)
    urls["moved.bin"] = origin.add("/moved.bin", redirect(urls["table.csv"]))
    return urls


def _netrc(top: str) -> str:
    path = Path(top, "netrc")
    path.touch(mode=0o600)
    path.write_text("machine 127.0.0.1 login demo password demo\n")
    return str(path)


def _stage(cache: Cache, urls: dict[str, str]) -> dict[str, float]:
    print("Staging them:")
    start = time.perf_counter()
    took: dict[str, float] = {}
    requests = cache.prefetch(urls.values())
    for name, request in zip(urls, requests, strict=True):
        request.add_done_callback(
            lambda _, name=name: took.__setitem__(name, time.perf_counter() - start)
        )
    for name, request in zip(urls, requests, strict=True):
        path = request.result(timeout=120)
        print(f"  {name:14} {format_size(path.stat().st_size):>9}  {format_duration(took[name])}")
    return took


def _job(
    settings: dict[str, str], urls: dict[str, str], bodies: dict[str, bytes]
) -> dict[str, float] | None:
    print("A job script in another process asks for the same URLs:")
    right = {**bodies, "moved.bin": bodies["table.csv"]}
    lines = "".join(f"{urls[n]} {hashlib.sha256(right[n]).hexdigest()}\n" for n in urls)
    job = subprocess.run(
        [sys.executable, "-c", JOB],
        input=lines,
        env={**settings, "FSCACHE_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    names = {url: name for name, url in urls.items()}
    hits = {}
    for line in job.stdout.splitlines():
        url, seconds, verdict = line.split()
        hits[names[url]] = float(seconds)
        print(f"  {names[url]:14} {verdict} bytes, {format_duration(float(seconds))}")
    if job.returncode or len(hits) != len(urls):
        print(job.stderr)
        return None
    return hits


def _compare(took: dict[str, float], hits: dict[str, float], urls: dict[str, str]) -> None:
    name = "model.nc"
    print(
        f"\n{name}: downloaded in {format_duration(took[name])},"
        f" a hit takes {format_duration(hits[name])}: {took[name] / hits[name]:,.0f} times less."
    )


if __name__ == "__main__":
    sys.exit(main())
