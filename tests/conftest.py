"""What every test gets: an environment of its own, no network, no leaks; and clocks and roots.

A test that leaves a file descriptor or a thread behind fails; `@pytest.mark.leaks` exempts it.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from fscache.records.root import Root
from tests.support.mounts import can_mount
from tests.support.processes import can_switch_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.origin import Origin
    from tests.support.servers import Serving

hypothesis.settings.register_profile(
    "default",
    deadline=None,  # a busy machine is not a fault of the code
    derandomize=True,  # the same examples on every run: a red test stays red until it is fixed
    database=None,
    max_examples=50,
    stateful_step_count=30,
)
hypothesis.settings.register_profile(
    "thorough", deadline=None, max_examples=1000, stateful_step_count=60, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell that starts tests in the background has them ignore Ctrl-C, and with them all they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SETTLE_SECONDS = 5.0  # for threads and sockets that end by themselves, but not at once


class Clock:
    """A clock that stands still until told."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def _own_ctrl_c() -> Iterator[None]:
    """What a library makes of Ctrl-C (IPython's does) ends with the test that used it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root_path(tmp_path: Path) -> str:
    """Where a root may be made; nothing is there yet."""
    return str(tmp_path / "cache")


@pytest.fixture
def root(root_path: str, clock: Clock) -> Root:
    """A root that has been made, with a clock of its own."""
    made = Root(root_path, now=clock)
    made.ensure()
    return made


@pytest.fixture
def open_tmp() -> Iterator[str]:
    """A directory that every user can reach, as `tmp_path` cannot be."""
    path = tempfile.mkdtemp(prefix="fscache-test-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


# -- servers ----------------------------------------------------------------------------------


@pytest.fixture
def origin() -> Iterator[Origin]:
    """A web server, scripted path by path."""
    from tests.support.origin import Origin

    with Origin() as made:
        yield made


@pytest.fixture
def secure() -> Iterator[Origin]:
    """One that speaks TLS, with a certificate of its own."""
    from tests.support.origin import Origin

    with Origin(tls=True) as made:
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    """A data server in this process; its root is `served`."""
    from tests.support.servers import serving

    with serving(tmp_path / "served") as made:
        yield made


# -- isolation --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _own_environment(_no_leaks: None, _home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # After `_no_leaks`, so that what monkeypatch keeps for its undoing is gone when that looks.
    for name in list(os.environ):
        if name.startswith(("FSCACHE_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("NETRC", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", _home)


_connect = socket.socket.connect


def _connect_here(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0])
        if not (host.startswith("127.") or host in ("::1", "localhost", "::ffff:127.0.0.1")):
            raise AssertionError(f"a test may only speak to this machine, not to {host}")
    _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    socket.socket.connect = _connect_here  # type: ignore[method-assign]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]


# -- leaks ------------------------------------------------------------------------------------


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor of the listing itself
    return found


def _kept() -> str:
    """Return the directory that a process has for its queries, from the first one to its own end."""
    sandbox = sys.modules.get("fscache.grid.sql.sandbox")
    made = sandbox is not None and sandbox._scratch.cache_info().currsize
    return str(sandbox._scratch(os.getpid()).path) if sandbox is not None and made else ""


def _leaks(descriptors: dict[int, str], threads: set[threading.Thread]) -> list[str]:
    found = [
        f"descriptor {fd} → {target}"
        for fd, target in _descriptors().items()
        if target not in (descriptors.get(fd), _kept())
    ]
    found += [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread not in threads and thread.is_alive()
    ]
    return found


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    if request.node.get_closest_marker("leaks") or not os.path.isdir("/proc/self/fd"):
        yield
        return
    descriptors = _descriptors()
    threads = set(threading.enumerate())
    yield
    if request.node.stash.get(_FAILED, False):
        return  # its traceback keeps everything alive, and there is something to read already
    # Whose values are still held here, though they have come to their end; so are the log's.
    request.node.funcargs.clear()
    for phase in ("setup", "call"):
        caplog.get_records(phase).clear()
    deadline = time.monotonic() + _SETTLE_SECONDS
    while _leaks(descriptors, threads):
        gc.collect()
        leaks = _leaks(descriptors, threads)
        if not leaks:
            return
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(leaks))
        time.sleep(0.02)


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


# -- what this machine can do -----------------------------------------------------------------


@pytest.fixture
def users() -> None:
    """Skip where this process cannot act as several users."""
    if not can_switch_users():
        pytest.skip("only root, with code that every user may read, can act as several users")


@pytest.fixture
def mounts() -> None:
    """Skip where this process cannot mount file systems."""
    if not can_mount():
        pytest.skip("needs the right to mount file systems")


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition, with a deadline: `until(lambda: …, "what for")`."""

    def wait(condition: Callable[[], object], what: str = "condition", seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds} s in vain for: {what}")
            time.sleep(0.01)

    return wait
