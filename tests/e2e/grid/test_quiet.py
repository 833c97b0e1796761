"""The engine beneath a grid does no more than it must, and a program's own use of it is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask
import distributed  # noqa: F401 - has the settings

if TYPE_CHECKING:
    from fscache.grid import Grid

PROFILE = "distributed.worker.profile.enabled"
ROUTES = "distributed.scheduler.http.routes"


def test_workers_do_not_look_after_themselves_all_the_time(two: Grid) -> None:
    assert two.cluster.submit(dask.config.get, PROFILE, key="quiet").result() is False


def test_a_program_keeps_its_settings_beside_a_grid(two: Grid) -> None:
    assert two.workers()
    assert dask.config.get(PROFILE) is True
    assert dask.config.get(ROUTES)
    assert dask.config.get("distributed.admin.tick.interval") == "20ms"
