"""An origin, a directory to fetch into, and a service over each HTTP transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stager import drivers
from stager.retry import RetryPolicy
from stager.service import FetchService
from stager.transports import Transports, default_transports
from stager.transports.base import Timeouts
from tests.unit.stager.directory import DirectoryDestination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUICK = RetryPolicy(attempts=3, base=0.01, cap=0.02)


@pytest.fixture
def destination(tmp_path: Path) -> DirectoryDestination:
    root = tmp_path / "destination"
    root.mkdir()
    return DirectoryDestination(root)


@pytest.fixture(params=["requests", "curl", "curl in threads"])
def make_transports(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Transports]:
    """The ways to speak HTTP: threads with requests, one that drives libcurl, threads with libcurl."""
    kind = request.param
    monkeypatch.setattr(drivers, "LONG", float("inf"))  # however busy this machine is
    if kind == "curl in threads":
        monkeypatch.setattr(drivers.Drivers, "_is_handed_over", lambda _self: True)

    def make(**options: Any) -> Transports:
        made = default_transports(**options)
        if kind == "requests":
            monkeypatch.setattr(made, "drives_many", lambda _scheme: False)
        else:
            monkeypatch.setattr(drivers, "MANY", 1)
        return made

    return make


@pytest.fixture
def make_service(
    make_transports: Callable[..., Transports], destination: DirectoryDestination
) -> Iterator[Callable[..., FetchService]]:
    made: list[FetchService] = []

    def make(**options: Any) -> FetchService:
        options.setdefault("transports", None)
        transports = options.pop("transports") or make_transports()
        options.setdefault("policy", QUICK)
        options.setdefault("timeouts", Timeouts(connect=5.0, stall=20.0))
        options.setdefault("user_agent", "fscache/test")
        options.setdefault("destination", destination)
        service = FetchService(transports=transports, **options)
        made.append(service)
        return service

    yield make
    for service in made:
        service.close(cancel=True)


@pytest.fixture
def service(make_service: Callable[..., FetchService]) -> FetchService:
    return make_service()
