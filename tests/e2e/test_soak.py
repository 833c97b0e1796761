"""The soak that `make soak` runs: it calls flat what is flat, and sees what leaks."""

from __future__ import annotations

import pytest

from tests.support import soak
from tests.support.servers import Daemon

LEAKING = """
import os, sys
from fscache.server import app, main
serve, kept = app.App.__call__, []
def leak(self, request):
    kept.append((bytearray(os.urandom(20_000)), os.open("/dev/null", os.O_RDONLY)))
    return serve(self, request)
app.App.__call__ = leak
sys.exit(main.run(sys.argv[1:]))
"""


class Leaking(Daemon):
    """A daemon that keeps 20 kB and a descriptor of every request."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        module = self._command.index("-m")
        self._command[module : module + 2] = ["-c", LEAKING]


@pytest.mark.parametrize(
    ("late", "found"),
    [
        ((43_000, 14, 30), []),
        ((44_001, 14, 30), ["memory"]),
        ((40_000, 17, 30), ["threads"]),
        ((40_000, 14, 35), ["descriptors"]),
        ((90_000, 90, 90), ["memory", "threads", "descriptors"]),
    ],
)
def test_growth_since_the_second_round_is_judged(late: soak.Held, found: list[str]) -> None:
    held = [(10_000, 3, 5), (40_000, 14, 30), (41_000, 15, 33), late]
    assert soak.growing(held) == found


def test_a_leak_is_seen_by_a_short_soak_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(800, Leaking) == 1
    assert "it grows: memory" in capsys.readouterr().out


def test_the_daemon_is_flat_in_a_short_soak(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "MOST_GROWTH", 0.5)  # it is still warming up
    assert soak.main(2400) == 0
    assert capsys.readouterr().out.endswith("flat\n")
