"""What grid tests run on workers, and grids whose workers have roots of their own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import cloudpickle

from fscache import Cache
from fscache.grid import Grid, Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Workers know nothing of the tests' modules, as a node knows nothing of a user's script.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@contextlib.contextmanager
def grid(top: str, workers: int, **options: Any) -> Iterator[Grid]:
    """A grid of processes, each with a root and temporary directory of its own below `top`."""
    hosts = [
        Host("localhost", root=f"{top}/root{number}", temp_path=f"{top}/temp{number}")
        for number in range(workers)
    ]
    with Grid(hosts=hosts, cache=Cache(f"{top}/root"), **options) as made:
        yield made


def until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Counter:
    """A service with a state."""

    unit = "beans"

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.log: list[Any] = []

    def add(self, by: int = 1, *, times: int = 1) -> int:
        self.count += by * times
        return self.count

    def note(self, item: Any) -> None:
        self.log.append(item)

    def noted(self) -> list[Any]:
        return self.log

    def echo(self, value: Any) -> Any:
        return value

    def pid(self) -> int:
        return os.getpid()

    def fail(self, text: str) -> None:
        raise KeyError(text)

    def wait(self, directory: str, name: str) -> str:
        """Say that the call has begun, and wait until it may end."""
        with open(f"{directory}/{name}.began", "a") as file:
            file.write("x")
        while not os.path.exists(f"{directory}/{name}.end"):
            time.sleep(0.005)
        return name

    def die(self) -> None:
        os.kill(os.getpid(), 9)

    def thread(self) -> int:
        return threading.get_ident()

    def __call__(self, value: int) -> int:
        return value + self.count


def make_source(directory: str, files: int = 4, rows: int = 1000) -> int:
    """Write Parquet files with columns `id` (0, 1, …), `x`, `f` and `word`; return the rows of all."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    os.makedirs(directory, exist_ok=True)
    random = np.random.default_rng(1)
    for number in range(files):
        ids = np.arange(number * rows, (number + 1) * rows)
        table = pa.table(
            {
                "id": ids,
                "x": random.integers(0, 100, rows),
                "f": random.normal(size=rows),
                "word": [f"w{each % 7}" for each in ids],
            }
        )
        pq.write_table(table, f"{directory}/{number}.parquet", row_group_size=300)
    return files * rows
