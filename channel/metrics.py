"""What the channel counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class Metrics:
    """One registry for each service, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stored = Counter(
            "channel_results_stored", "Results stored for the first time.", registry=self.registry
        )
        self.duplicates = Counter(
            "channel_results_duplicate",
            "Results that were stored already.",
            registry=self.registry,
        )
        self.rejected = Counter(
            "channel_results_rejected",
            "Results put into quarantine after they were decoded.",
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "channel_batch_results",
            "Results in one write.",
            buckets=(1, 3, 10, 30, 100, 300, 1000),
            registry=self.registry,
        )
        self.write_seconds = Histogram(
            "channel_write_seconds",
            "Seconds of one write that succeeded, retries not counted.",
            registry=self.registry,
        )
        self.write_failures = Counter(
            "channel_write_failures", "Writes that had to be tried again.", registry=self.registry
        )
        self.publish_failures = Counter(
            "channel_publish_failures",
            "Stored summaries that had to be sent again.",
            registry=self.registry,
        )
