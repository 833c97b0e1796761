"""`/metrics` for Prometheus, where prometheus-client is installed (`pip install fscache[metrics]`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache import __version__
from fscache.server.connection import Response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fscache.server.figures import Figures

_ABSENT = b"metrics need prometheus-client: pip install 'fscache[metrics]'\n"


class _Collector:
    """Hands one moment's figures to prometheus-client."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            InfoMetricFamily,
        )

        found = self._figures
        yield InfoMetricFamily("fscache", "The server.", {"version": __version__})
        for name, value, text in (
            ("url_hits", found.hits, "URLs asked for that were here."),
            ("url_misses", found.misses, "URLs asked for that had to be staged."),
            ("requests", found.answered, "HTTP requests answered."),
            ("requests_refused", found.refused, "HTTP requests without a good token, or too many."),
            ("connections_accepted", found.accepted, "Connections accepted."),
        ):
            yield CounterMetricFamily(f"fscache_{name}", text, value)
        running = [each for each in found.transfers if each.state == "running"]
        for name, gauge, text in (
            ("up", int(found.trouble is None), "Whether the server can do its work."),
            ("uptime_seconds", found.uptime, "Seconds since the start."),
            ("connections", found.connections, "Connections now."),
            ("requests_waiting", found.waiting, "Requests for URLs that have not ended."),
            ("transfers_running", len(running), "Transfers under way."),
            ("transfers_queued", len(found.transfers) - len(running), "Transfers in the queue."),
            (
                "transfer_rate_bytes",
                sum(each.progress.rate for each in running),
                "Bytes per second.",
            ),
            ("filesystem_free_bytes", found.space.free, "Free bytes of the root's file system."),
            ("filesystem_size_bytes", found.space.total, "Its size."),
        ):
            yield GaugeMetricFamily(f"fscache_{name}", text, gauge)
        size = GaugeMetricFamily("fscache_bytes", "Bytes by last access.", labels=["within"])
        urls = GaugeMetricFamily("fscache_urls", "URLs by last access.", labels=["within"])
        for age, count, total in found.space.by_age:
            urls.add_metric([age], count)
            size.add_metric([age], total)
        yield size
        yield urls


def respond(figures: Figures) -> Response:
    """Return the figures as Prometheus reads them."""
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    except ImportError:
        return Response(404, _ABSENT)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(figures))
    return Response(200, generate_latest(registry), CONTENT_TYPE_LATEST)
