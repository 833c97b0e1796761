"""The command `fscache`, run as a user runs it: a process of its own, with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = os.path.join(os.path.dirname(sys.executable), "fscache")


@dataclass
class Ran:
    """What became of one call."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output."""
        return [json.loads(line) for line in self.lines]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The JSON objects on standard error."""
        return [json.loads(line) for line in self.err.splitlines()]


@dataclass
class Shell:
    """Runs `fscache` in a home of its own, without a keyring unless one is set."""

    home: str
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {
            "HOME": self.home,
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **self.environ,
        }

    def run(self, *arguments: str, stdin: bytes = b"", **environ: str) -> Ran:
        """Run to the end; a call that takes a minute has hung."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            input=stdin,
            env=self.environ | environ,
            cwd=self.home,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    @contextmanager
    def start(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Start, and kill what is still running at the end."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        with subprocess.Popen(
            [PROGRAM, *arguments], env=self.environ, cwd=self.home, **pipes
        ) as process:
            try:
                yield process
            finally:
                process.kill()  # does nothing to one that has ended
