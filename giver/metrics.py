"""What Prometheus can ask of a giver; a registry of its own, so that several fit in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accepted = Counter(
            "giver_assignments_accepted", "Assignments taken", registry=self.registry
        )
        self.refused = Counter(
            "giver_assignments_refused", "Assignments not taken", registry=self.registry
        )
        self.results = Counter("giver_results", "Results made", ["outcome"], registry=self.registry)
        self.confirmed = Counter(
            "giver_results_confirmed", "Results that the broker confirmed", registry=self.registry
        )
        self.reaped = Counter(
            "giver_containers_reaped", "Leftover containers removed", registry=self.registry
        )
        self.evicted = Counter(
            "giver_images_evicted", "Images removed to make room", registry=self.registry
        )
        self.run_seconds = Histogram(
            "giver_container_run_seconds",
            "From a container's start to its end",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.pull_seconds = Histogram(
            "giver_image_pull_seconds", "Pulls", buckets=_SECONDS, registry=self.registry
        )
        self.running = Gauge(
            "giver_assignments_running", "Assignments holding a slot", registry=self.registry
        )
        self.waiting = Gauge(
            "giver_assignments_waiting", "Assignments without a slot", registry=self.registry
        )
        self.unconfirmed = Gauge(
            "giver_results_unconfirmed", "Results on their way", registry=self.registry
        )
        self.ready = Gauge("giver_ready", "1: takes assignments", registry=self.registry)
