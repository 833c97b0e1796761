"""The units, and what the daemon says to systemd, by systemd's own tools where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import DEADLINE, Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNITS = Path(__file__).parents[2] / "systemd"
MOST_EXPOSURE = 2.5

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copies of the units whose programs exist here."""
    for kind in ("system", "user"):
        (tmp_path / kind).mkdir()
        for unit in (UNITS / kind).iterdir():
            text = re.sub(
                r"ExecStart=\S+/fscache(-stager)?", "ExecStart=/bin/true", unit.read_text()
            )
            (tmp_path / kind / unit.name).write_text(text)
    return tmp_path


@needs_analyze
@pytest.mark.parametrize("kind", ["system", "user"])
def test_the_units_are_clean(units: Path, kind: str) -> None:
    names = sorted(str(path) for path in (units / kind).iterdir())
    assert names
    found = subprocess.run(
        ["systemd-analyze", f"--{kind}", "verify", "--man=no", *names],
        capture_output=True,
        text=True,
        check=False,
        env={**environ(), "XDG_RUNTIME_DIR": str(units)},
    )
    ours = [line for line in found.stderr.splitlines() if "fscache" in line]
    assert ours == []
    assert found.returncode == 0, found.stderr


@needs_analyze
@pytest.mark.parametrize("name", ["fscache-stager", "fscache-purge", "fscache-verify"])
def test_the_system_services_are_hardly_exposed(units: Path, name: str) -> None:
    found = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", str(units / f"system/{name}.service")],
        capture_output=True,
        text=True,
        check=True,
        env=environ(),
    )
    match = re.search(r"exposure level for \S+: ([0-9.]+)", found.stdout)
    assert match is not None
    assert float(match[1]) <= MOST_EXPOSURE


def commands() -> list[tuple[str, str]]:
    """Return unit and command line of every ExecStart."""
    found = []
    for unit in sorted(UNITS.glob("*/*.service")):
        lines = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        assert len(lines) == 1, unit
        found.append((f"{unit.parent.name}/{unit.name}", lines[0]))
    return found


@pytest.mark.parametrize(("unit", "line"), commands(), ids=[unit for unit, _ in commands()])
def test_what_a_unit_starts_is_a_command_that_there_is(
    tmp_path: Path, unit: str, line: str
) -> None:
    """Run as systemd would, on a root that holds something; what serves only reads its arguments."""
    program, *arguments = line.split()
    values = {
        "${STATE_DIRECTORY}": str(tmp_path / "root"),
        "%C": str(tmp_path),
        "%h": str(tmp_path),
    }
    for name, value in values.items():
        arguments = [argument.replace(name, value) for argument in arguments]
    command = [str(Path(sys.executable).with_name(Path(program).name)), *arguments]
    if "stager" in program:
        from fscache.server.main import parser

        options = parser().parse_args(arguments)
        assert options.root.startswith(str(tmp_path))
        assert options.port == 8077
        return
    if "workers" in arguments:
        command.append("--help")  # it would run until its head is gone
    else:
        from fscache.cache import Cache

        with Cache(tmp_path / "root") as cache:
            cache.put(b"abc")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" not in done.stderr


@pytest.mark.parametrize("kind", ["system", "user"])
def test_every_timer_has_its_service_and_every_service_that_ends_its_timer(kind: str) -> None:
    timers = {path.stem for path in (UNITS / kind).glob("*.timer")}
    oneshot = {
        path.stem for path in (UNITS / kind).glob("*.service") if "Type=oneshot" in path.read_text()
    }
    assert timers == oneshot


class Notified:
    """The socket that systemd would listen at."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(DEADLINE)

    def next(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notified(open_tmp: str) -> Iterator[Notified]:
    made = Notified(f"{open_tmp}/notify")
    yield made
    made.close()


def test_the_daemon_tells_systemd_what_it_does(
    tmp_path: Path, open_tmp: str, notified: Notified
) -> None:
    variables = {"NOTIFY_SOCKET": f"{open_tmp}/notify", "WATCHDOG_USEC": "300000"}
    with Daemon(tmp_path / "root", environ=variables) as daemon:
        ready = notified.next()
        assert ready[0] == "READY=1"
        assert daemon.url in ready[1]
        assert notified.next() == ["WATCHDOG=1"]
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        said = notified.next()
        while said == ["WATCHDOG=1"]:
            said = notified.next()
        assert said == ["RELOADING=1"]
        assert notified.next() == ["READY=1"]
        assert daemon.kill(signal.SIGTERM) == 0
        said = notified.next()
        while said == ["WATCHDOG=1"]:
            said = notified.next()
        assert said == ["STOPPING=1"]


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None,
    reason="systemd-socket-activate is not installed",
)
def test_a_connection_to_systemds_socket_starts_the_daemon(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "fscache.server.main", "--root", str(tmp_path / "root")]
    process = subprocess.Popen(
        ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ(),
    )
    try:

        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listening, "the socket")

        def healthy() -> bool:
            # The connection that starts it is answered too, with 503 while the root is being made.
            try:
                url = f"http://127.0.0.1:{port}/healthz"
                with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
                    return bool(answer.read() == b"ok\n")
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503:
                        raise
                return False

        until(healthy, "the daemon")
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0
