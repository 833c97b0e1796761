"""A head and a node that are two hosts, as far as the network is concerned."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import PROGRAM
from tests.support.gridwork import make_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD, NODE = "10.213.7.1", "10.213.7.2"

CLIENT = """
import operator, subprocess, sys, time
from fscache import Cache
from fscache.errors import HostDied
from fscache.grid import Grid
address, root, source, cut = sys.argv[1:5]

class Service:
    def answer(self):
        return 42
    def wait(self):
        import time
        time.sleep(3600)

with Grid(address, cache=Cache(root)) as grid:
    grid.cluster.wait_for(1, 30)
    table = grid.tables.deploy(source, "t", shards=4)
    print(grid.map_reduce("t", len, operator.add), flush=True)
    with grid.acquire_service(grid.publish(Service())) as proxy:
        print(proxy.answer().get(30), flush=True)
        result = proxy.wait()
        time.sleep(0.2)
        subprocess.run(cut.split(), check=True)   # nothing is closed: the host is just not there
        error = result.exception(30)
        print(type(error).__name__, flush=True)
    import os
    os._exit(0)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def network() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them; skips where that cannot be had."""
    names = (f"fsc{os.getpid()}a", f"fsc{os.getpid()}b")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "v0", "netns", names[0], "type", "veth", "peer", "v1", "netns", names[1])
        for name, device, address in ((names[0], "v0", HEAD), (names[1], "v1", NODE)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError) as exc:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        pytest.skip(f"no network namespaces here: {exc}")
    yield names
    for name in names:
        ip("netns", "delete", name)


def test_a_node_behind_a_network_works_and_its_vanishing_is_noticed(
    network: tuple[str, str], tmp_path: Path
) -> None:
    rows = make_source(str(tmp_path / "source"))
    here, there = (("ip", "netns", "exec", name) for name in network)
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([PROGRAM, "workers", "init"], env=environ, check=True, capture_output=True)
    processes = []
    try:
        head = subprocess.Popen(
            [*here, PROGRAM, "workers", "head", "--host", HEAD, "--port", "0"],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(head)
        assert head.stdout is not None
        address = head.stdout.readline().strip()
        assert address.startswith(f"tls://{HEAD}:")
        worker = subprocess.Popen(
            [
                *there,
                PROGRAM,
                "--root",
                str(tmp_path / "node"),
                "workers",
                "run",
                "--head",
                address,
            ],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith(f"tls://{NODE}:")
        cut = "ip link set v0 down"
        done = subprocess.run(
            [
                *here,
                sys.executable,
                "-c",
                CLIENT,
                address,
                str(tmp_path / "root"),
                str(tmp_path / "source"),
                cut,
            ],
            env=environ,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.stdout.split() == [str(rows), "42", "HostDied"], done.stderr
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
