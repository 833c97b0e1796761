from __future__ import annotations

import subprocess
import sys

import pytest

from fscache.grid.hosts import MODULE, Host, create_host_list


@pytest.mark.parametrize(
    ("init_cmd", "line"),
    [
        ("", f"exec python3 -m {MODULE}"),
        ("module load py;", f"module load py; exec python3 -m {MODULE}"),
        ("module load py", f"module load py; exec python3 -m {MODULE}"),
        ("imppy.sh !", f"imppy.sh  python3 -m {MODULE}"),
    ],
)
def test_init_cmd_comes_before_python_or_around_it(init_cmd: str, line: str) -> None:
    assert Host("n1", init_cmd=init_cmd).command(["ssh"]) == ["ssh", "n1", line]


def test_niceness_and_interpreter_are_used() -> None:
    line = Host("n1", python="/opt/my python/bin/python", niceness=7).command(["ssh"])[-1]
    assert line == f"exec nice -n 7 '/opt/my python/bin/python' -m {MODULE}"


def test_this_machine_needs_no_ssh() -> None:
    assert Host("localhost").command() == [sys.executable, "-m", MODULE]
    command = Host("localhost", init_cmd="echo hello; exit 0").command()
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"hello\n"


def test_a_name_twice_is_two_servers() -> None:
    hosts = create_host_list(["a", "a"], temp_path="/t", niceness=3)
    assert [(host.name, host.temp_path, host.niceness) for host in hosts] == [("a", "/t", 3)] * 2
