from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING

from fscache.grid.prints import Router

if TYPE_CHECKING:
    import pytest


def test_a_thread_that_prints_is_heard_by_lines_and_others_are_not_disturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = io.StringIO()
    monkeypatch.setattr(sys, "stdout", real)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    Router.install()
    heard: list[str] = []
    other = threading.Thread(target=lambda: print("other"))
    with Router.to(heard.append):
        print("one", end="")
        print(" line")
        other.start()
        other.join()
        print("two\nthree")
        print("rest", end="")
    print("after")
    assert heard == ["one line", "two", "three", "rest"]
    assert real.getvalue() == "other\nafter\n"
