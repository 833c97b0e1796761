"""Killing and failing a process at any one of its system calls, with strace's fault injection.

A child is forked with everything imported, strace attaches to it, and only then it is told to go:
so that calls are counted from the beginning of what is tested, and a run costs some 50 ms.
"""

from __future__ import annotations

import os
import pickle
import re
import select
import shutil
import subprocess
import tempfile
import time
import traceback
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.support.processes import fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHANGES = (
    "open openat creat write pwrite64 writev pwritev close ftruncate truncate fsync fdatasync flock "
    "fchmod chmod fchmodat fchown chown lchown fchownat link linkat symlink symlinkat "
    "unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir utimensat copy_file_range"
)
"""All calls by which a process can change what lies on a disk, and those around them."""
_END = "/nonexistent/end-of-what-is-tested"
_SECONDS = 60.0


@dataclass(frozen=True)
class Call:
    """One system call of a traced run."""

    name: str
    text: str
    """As strace shows it, with the paths of descriptors."""
    number: int
    """Which one of its name it is, from 1."""


@dataclass(frozen=True)
class Run:
    """What became of a traced child."""

    killed: bool
    result: Any
    """What the function returned; None if killed."""
    error: BaseException | None
    """What it raised."""
    calls: list[Call]


@cache
def can_inject() -> bool:
    """Whether strace is here, and may trace."""
    if shutil.which("strace") is None:
        return False
    try:
        return (
            traced(
                lambda: os.close(os.open("/dev/null", os.O_RDONLY)), "openat:error=EIO:when=1"
            ).error
            is not None
        )
    except (OSError, RuntimeError):
        return False


def traced(function: Callable[[], Any], inject: str | None = None) -> Run:
    """Call a function in a traced child.

    Args:
        function: Any callable; its result must be picklable.
        inject: As for `strace -e inject=…`; nothing by default.
    """
    go_read, go_write = os.pipe()
    out_read, out_write = os.pipe()
    pid = fork()
    if pid == 0:
        _child(function, go_read, out_write)
    os.close(go_read)
    os.close(out_write)
    with tempfile.NamedTemporaryFile("r", prefix="fscache-strace-") as log:
        command = ["strace", "-f", "-y", "-s", "0", "-o", log.name, "-p", str(pid)]
        command += [
            "-e",
            "trace=" + ",".join(f"?{name}" for name in CHANGES.split()),
            "-e",
            "signal=none",
        ]
        if inject is not None:
            command += ["-e", f"inject={inject}"]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            _wait_for_attached(tracer)
            os.write(go_write, b"!")
            os.close(go_write)
            with os.fdopen(out_read, "rb") as pipe:
                data = pipe.read()
        finally:
            if tracer.poll() is None and not _ends(tracer):
                tracer.kill()
            assert tracer.stderr is not None
            tracer.stderr.close()
            tracer.wait()
            _pid, status = os.waitpid(pid, 0)
        calls = list(_parse(log))
    killed = os.WIFSIGNALED(status)
    good, value = pickle.loads(data) if data else (True, None)
    return Run(killed, value if good else None, None if good else value, calls)


def _child(function: Callable[[], Any], go_read: int, out_write: int) -> None:
    try:
        os.read(go_read, 1)
        try:
            answer = (True, function())
        except BaseException as exc:  # noqa: BLE001 - it is looked at in the parent
            exc.add_note("".join(traceback.format_tb(exc.__traceback__)))
            answer = (False, exc)
        try:
            os.rmdir(_END)
        except OSError:
            pass
        with os.fdopen(out_write, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)


def _wait_for_attached(tracer: subprocess.Popen[bytes]) -> None:
    assert tracer.stderr is not None
    text = b""
    deadline = time.monotonic() + _SECONDS
    while b"attached" not in text:
        ready, _, _ = select.select([tracer.stderr], [], [], max(0, deadline - time.monotonic()))
        more = os.read(tracer.stderr.fileno(), 4096) if ready else b""
        if not more:
            raise RuntimeError(f"strace cannot attach: {text.decode()}")
        text += more


def _ends(tracer: subprocess.Popen[bytes]) -> bool:
    try:
        tracer.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _parse(lines: Iterator[str]) -> Iterator[Call]:
    counts: dict[str, int] = {}
    for line in lines:
        match = re.match(r"(?:\d+\s+)?(\w+)\((.*)", line)
        if match is None or match.group(1) == "exit":
            continue
        name, text = match.groups()
        if _END in text:
            return
        counts[name] = counts.get(name, 0) + 1
        yield Call(name, text.strip(), counts[name])
