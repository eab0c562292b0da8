"""What Prometheus may know: how many, how long, why not. No pseudonym, no address, no content is a label.

With several processes, ``PROMETHEUS_MULTIPROC_DIR`` names a folder that they share (``serve`` makes one), and any of
them answers for all.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

#: Upper ends in seconds.
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The collector's metrics in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.records = Counter(
            "safelight_collector_records",
            "Records that were answered, by what became of them.",
            ["state"],
            registry=self._registry,
        )
        self.refused = Counter(
            "safelight_collector_refused", "Refused records by reason.", ["reason"], registry=self._registry
        )
        self.requests = Counter(
            "safelight_collector_requests",
            "Requests that were answered, by route and HTTP status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "safelight_collector_request_seconds",
            "From the first byte of a request to its answer, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.storing_seconds = Histogram(
            "safelight_collector_storing_seconds",
            "From a batch that passed its checks to its commit.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "safelight_collector_in_flight",
            "Uploads that are being worked on.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format, of all processes if there are several."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
