"""Other processes for tests: other users and other umasks.

A child is forked, not executed anew: other users need not be able to read the interpreter. For the
same reason all that a cache imports on demand is imported here, in the parent.
"""

from __future__ import annotations

import logging  # noqa: F401
import os
import pickle
import socket  # noqa: F401
import sys
import traceback
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import filelock  # noqa: F401

import fscache.cache
import fscache.errors
import fscache.kv.source
import fscache.records.aside
import fscache.records.rebuild
import fscache.tasks.source
import fscache.urls.destination
import fscache.urls.lease
import fscache.urls.source  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALICE, BOB = 54_321, 54_322
"""Users without a name, as containers have them."""
LAB = 54_330
"""A group that both may be in."""


def can_switch_users() -> bool:
    """Whether this process may start others as other users."""
    return os.geteuid() == 0


def fork() -> int:
    """`os.fork`, without a word about the threads that the test runner has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(
    function: Callable[..., Any],
    *arguments: Any,
    uid: int | None = None,
    groups: Sequence[int] = (),
    umask: int | None = None,
) -> Any:
    """Call a function in a child process; return what it returns, raise what it raises.

    Args:
        function: Any callable, local ones too; its result must be picklable.
        arguments: For the function.
        uid: Act as this user, with a primary group of the same number.
        groups: Further groups of that user.
        umask: Of the process; inherited by default.
    """
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        os.close(read)
        status = 1
        try:
            if umask is not None:
                os.umask(umask)
            if uid is not None:
                os.setgroups(list(groups))
                os.setgid(uid)
                os.setuid(uid)
            try:
                answer = (True, function(*arguments))
            except BaseException as exc:  # noqa: BLE001 - it is raised in the parent
                exc.add_note("".join(traceback.format_tb(exc.__traceback__)))
                answer = (False, exc)
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(answer, pipe)
            status = 0
        finally:
            with suppress(BaseException):
                sys.stderr.flush()
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    good, result = pickle.loads(data)
    if not good:
        raise result
    return result
