"""Staging: 5,000 files of 4 KiB, and one of 1 GiB, from a local nginx; beside curl and peers.

Every run writes into a fresh directory below `--dir` (a file system to measure) that is removed at
the very end, because some ext4 makes creates slow for minutes after many unlinks.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from harness import Case, compare, main
from origin import BIG_SIZE, SMALL_FILES, nginx

THREADS = 16
PLACES = {"disk": os.environ.get("BENCH_DIR", tempfile.gettempdir()), "tmpfs": "/dev/shm"}
_MADE: list[str] = []


def _fresh(place: str) -> str:
    path = tempfile.mkdtemp(prefix="fscache-bench-", dir=place)
    _MADE.append(path)
    return path


def _fscache_many(urls: list[str], place: str) -> None:
    from fscache import Cache

    with Cache(_fresh(place)) as cache:
        paths = cache.get_many(urls)
    if len(paths) != len(urls):
        raise RuntimeError("missing files")


def _curl_many(base: str, place: str) -> None:
    command = ["curl", "-s", "--parallel", "--parallel-max", str(THREADS)]
    subprocess.run(
        [*command, f"{base}/s/[00000-{SMALL_FILES - 1:05d}]", "-o", "#1"],
        cwd=_fresh(place),
        check=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _requests_many(urls: list[str], place: str) -> None:
    import requests

    top = _fresh(place)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))

        def one(url: str) -> None:
            with open(f"{top}/{url[-5:]}", "wb") as file:
                file.write(session.get(url).content)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, urls))


def _pooch_many(urls: list[str], place: str) -> None:
    import pooch

    pooch.get_logger().disabled = True
    top = _fresh(place)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda url: pooch.retrieve(url, None, path=top), urls))


def _astropy_many(urls: list[str], place: str) -> None:
    os.environ["XDG_CACHE_HOME"] = top = _fresh(place)
    os.makedirs(f"{top}/astropy")
    from astropy.utils.data import download_file

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda url: download_file(url, cache=True, show_progress=False), urls))


def _hf_many(urls: list[str], place: str) -> None:
    from huggingface_hub import file_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    top = _fresh(place)

    def one(url: str) -> None:
        # Its cache speaks to its own hub only; this is the download at the bottom of it.
        with open(f"{top}/{url[-5:]}", "wb") as file:
            file_download.http_get(url, file)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, urls))


def _fsspec_many(urls: list[str], place: str) -> None:
    import fsspec

    files = fsspec.open_files(
        [f"simplecache::{url}" for url in urls], simplecache={"cache_storage": _fresh(place)}
    )
    with files as opened:
        if len(opened) != len(urls):
            raise RuntimeError("missing files")


def small(rounds: int) -> dict:
    """5,000 files of 4 KiB."""
    figures = {}
    with nginx() as base:
        urls = [f"{base}/s/{number:05d}" for number in range(SMALL_FILES)]
        for label, place in PLACES.items():
            cases = [
                Case("curl --parallel", lambda place=place: _curl_many(base, place)),
                Case("fscache", lambda place=place: _fscache_many(urls, place)),
                Case("fsspec simplecache", lambda place=place: _fsspec_many(urls, place)),
                Case("requests, 16 threads", lambda place=place: _requests_many(urls, place)),
                Case("astropy, 16 threads", lambda place=place: _astropy_many(urls, place)),
                Case("pooch, 16 threads", lambda place=place: _pooch_many(urls, place)),
                Case("huggingface_hub's http_get", lambda place=place: _hf_many(urls, place)),
            ]
            figures[label] = compare(
                f"{SMALL_FILES} files of 4 KiB, {label}",
                cases,
                "curl --parallel",
                rounds=rounds,
                work=SMALL_FILES,
                unit="files",
            )
    return figures


_ONE = """
import resource, sys
import fscache, fscache.cache, fscache.urls.fetcher, stager.transports.http_requests, requests
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import time
cache = fscache.Cache(sys.argv[1])
start = time.perf_counter()
cache.get(sys.argv[2], checksum=sys.argv[3] if len(sys.argv) > 3 else None)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _fscache_one(url: str, place: str, *checksum: str, grown: list[int]) -> float:
    top = _fresh(place)
    done = subprocess.run(
        [sys.executable, "-c", _ONE, top, url, *checksum],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, kib = done.stdout.split()
    grown.append(int(kib))
    shutil.rmtree(top)
    return float(seconds)


def _curl_one(url: str, place: str, then: str = "") -> float:
    top = _fresh(place)
    start = time.perf_counter()
    subprocess.run(
        ["sh", "-c", f"curl -s -o {top}/x {url} {then and f'&& {then} {top}/x'}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return _seconds_since(start, top)


def _pooch_one(url: str, place: str, sha256: str) -> float:
    import pooch

    pooch.get_logger().disabled = True
    top = _fresh(place)
    start = time.perf_counter()
    pooch.retrieve(url, sha256, path=top)
    return _seconds_since(start, top)


def _seconds_since(start: float, top: str) -> float:
    # Removing 1 GiB takes a tenth of a second on tmpfs, and is no part of fetching it.
    seconds = time.perf_counter() - start
    shutil.rmtree(top)
    return seconds


def big(rounds: int) -> dict:
    """One file of 1 GiB."""
    figures = {}
    with nginx(big=True) as base:
        url = f"{base}/big"
        digest = subprocess.run(
            f"curl -s {url} | sha256sum", shell=True, check=True, capture_output=True, text=True
        ).stdout.split()[0]
        for label, place in PLACES.items():
            grown: list[int] = []
            cases = [
                Case("curl -o", lambda p=place: _curl_one(url, p)),
                Case("fscache", lambda p=place, g=grown: _fscache_one(url, p, grown=g)),
                Case(
                    "fscache, sha256 too",
                    lambda p=place, g=grown: _fscache_one(url, p, f"sha256:{digest}", grown=g),
                ),
                Case("curl -o && sha256sum", lambda p=place: _curl_one(url, p, "sha256sum")),
                Case("pooch, sha256", lambda p=place: _pooch_one(url, p, f"sha256:{digest}")),
            ]
            figures[label] = compare(
                f"1 GiB, {label}",
                cases,
                "curl -o",
                rounds=rounds,
                work=BIG_SIZE / 2**20,
                unit="MiB",
            )
            print(f"\nfscache's RSS grew by at most {max(grown) / 1024:.1f} MiB over import")
            figures[label]["rss_growth_mib"] = max(grown) / 1024
    return figures


if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    try:
        main({"small": small, "big": big})
    finally:
        for made in _MADE:
            shutil.rmtree(made, ignore_errors=True)
