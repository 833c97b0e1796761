"""File systems of their own for tests: small ones and read-only ones, seen by one child only."""

from __future__ import annotations

import ctypes
import os
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.support.processes import in_child

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWNS = 0x00020000


def _enter_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@cache
def can_mount() -> bool:
    """Whether this process may mount file systems of its own."""
    if os.geteuid() != 0:
        return False
    try:
        in_child(_enter_namespace)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def with_tmpfs(path: str, options: str, function: Callable[[], Any]) -> Any:
    """Call `function` in a child that sees a fresh tmpfs at `path`."""

    def run() -> Any:
        _enter_namespace()
        _mount("-t", "tmpfs", "-o", options, "none", path)
        return function()

    return in_child(run)


def with_read_only(path: str, function: Callable[[], Any], *, uid: int | None = None) -> Any:
    """Call `function` in a child that sees what lies at `path` on a read-only file system."""

    def run() -> Any:
        _enter_namespace()
        _mount("--bind", path, path)
        _mount("-o", "remount,bind,ro", path)
        if uid is not None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        return function()

    return in_child(run)
