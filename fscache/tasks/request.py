"""What is recorded of a function when it is submitted; the counterpart of `fscache.tasks.outcome`."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from fscache.tasks.executor import Need
    from fscache.tasks.model import Record


def checked_needs(needs: Need | Iterable[Need]) -> list[Need]:
    """Return a task's needs, of which one alone may be given.

    Raises:
        TypeError: one is neither text nor a future.
    """
    given: Any = needs
    if _is_need(given) or not isinstance(given, Iterable):
        given = [given]
    found: list[Need] = list(given)
    for need in found:
        if not _is_need(need):
            what = "a URL, the name of a precondition or a future"
            raise TypeError(f"a need is {what}, not {need!r:.80}")
    return found


def _is_need(value: object) -> bool:
    # Dask's futures are of no class of Python's.
    return isinstance(value, str) or hasattr(value, "add_done_callback")


def content_of(function: object, needs: Iterable[Need]) -> Record:
    """Return a request's content: the function's name, what it waits for, and which futures."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    given = list(needs)
    content: Record = {
        "function": f"{module}:{name}" if module and name else repr(function),
        "needs": [each for each in given if isinstance(each, str)],
    }
    # Apart: who runs the task again can wait for a name or a URL, but not for these.
    futures = [need_text(each) for each in given if not isinstance(each, str)]
    return content | {"futures": futures} if futures else content


def need_text(need: Need) -> str:
    """Return a need as it is recorded, and told in errors."""
    return need if isinstance(need, str) else repr(need)


def request(
    msg_id: str,
    session: str,
    *,
    now: datetime,
    content: Record,
    buffers: Sequence[bytes],
    label: str | None,
) -> Record:
    """Return the record of a task that is submitted now, as a controller would write it."""
    return {
        "header": {
            "msg_id": msg_id,
            "msg_type": "apply_request",
            "username": _user(),
            "session": session,
            "date": now,
        },
        "metadata": {"label": label},
        "content": content,
        "buffers": buffers,
        "submitted": now,
        "client_uuid": session,
        "queue": "task",
        "label": label,
        "stdout": "",
        "stderr": "",
    }


def _user() -> str:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"{name}@{os.uname().nodename}"
