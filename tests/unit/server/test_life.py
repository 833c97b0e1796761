import os
import socket
from pathlib import Path

from fscache.config.systemd import SystemdVariables
from fscache.server import notify
from fscache.server.life import answers
from tests.support.servers import serving


def test_a_server_that_answers_is_alive_and_a_mute_one_is_not(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as served:
        assert answers(served.server.url)
        assert served.server.alive
    assert not answers(served.server.url)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert not answers(f"http://127.0.0.1:{mute.getsockname()[1]}", timeout=0.1)


def test_a_server_that_listens_everywhere_is_asked_on_loopback(tmp_path: Path) -> None:
    with serving(tmp_path / "root", host="0.0.0.0") as served:
        assert answers(served.server.url)


def test_notify_reaches_named_and_abstract_sockets(open_tmp: str) -> None:
    for address, name in (
        (f"{open_tmp}/n", f"{open_tmp}/n"),
        (f"\0fscache-{os.getpid()}", f"@fscache-{os.getpid()}"),
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(address)
            sock.settimeout(10)
            assert notify.notify(
                SystemdVariables({"NOTIFY_SOCKET": name}), notify.READY, "STATUS=x"
            )
            assert sock.recv(100) == b"READY=1\nSTATUS=x"


def test_outside_of_systemd_nothing_is_said_or_inherited() -> None:
    for environ in ({}, {"NOTIFY_SOCKET": "/nonexistent/n"}, {"NOTIFY_SOCKET": "relative"}):
        variables = SystemdVariables(environ)
        assert not notify.notify(variables, notify.READY)
        assert notify.watchdog_interval(variables) is None
        assert notify.inherited_socket(variables) is None


def test_what_is_meant_for_another_process_is_not_ours() -> None:
    other = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "WATCHDOG_PID": "1", "WATCHDOG_USEC": "3000000"}
    variables = SystemdVariables(other)
    assert notify.inherited_socket(variables) is None
    assert notify.watchdog_interval(variables) is None
    own = SystemdVariables({"WATCHDOG_PID": str(os.getpid()), "WATCHDOG_USEC": "3000000"})
    assert notify.watchdog_interval(own) == 1.0
