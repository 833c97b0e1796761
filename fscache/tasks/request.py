"""What is recorded of a function when it is submitted; the counterpart of `fscache.tasks.outcome`."""

from __future__ import annotations

import os
import pwd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from fscache.tasks.executor import Need
    from fscache.tasks.model import Record


def content_of(function: object, needs: Iterable[Need]) -> Record:
    """Return a request's content: the function's name, and what it waits for."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    return {
        "function": f"{module}:{name}" if module and name else repr(function),
        "needs": [need_text(each) for each in needs],
    }


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
