"""Celery's side: one worker and one producer, at the same durability as ours."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal, Self

from benchmarks.contender import Contender
from benchmarks.infrastructure import Infrastructure
from runtime.command_line import Failed

DURABLE = {"w": "majority", "j": True}


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run Celery."""

    queue: Literal["classic", "quorum"]
    pool: Literal["prefork", "threads", "solo"]
    concurrency: int
    prefetch: int
    """Messages for each of `concurrency`, delivered and not yet acknowledged."""
    producers: int
    """Threads that submit, each through a connection of its own."""

    def __str__(self) -> str:
        return (
            f"{self.queue} queue, {self.pool} {self.concurrency}, prefetch {self.prefetch}, "
            f"{self.producers} submitting"
        )


VARIANTS = (
    Variant("classic", "prefork", 2, 64, 1),
    Variant("quorum", "prefork", 2, 64, 1),
    Variant("classic", "prefork", 2, 64, 4),
    Variant("classic", "prefork", 2, 1, 1),
    Variant("classic", "prefork", 8, 16, 1),
    Variant("classic", "prefork", 8, 16, 4),
    Variant("classic", "threads", 2, 64, 1),
    Variant("classic", "threads", 16, 8, 4),
    Variant("classic", "solo", 1, 64, 1),
)
"""The fastest of them is who we are compared with."""


class Celery(Contender):
    def __init__(self, infra: Infrastructure, variant: Variant) -> None:
        self.variant = variant
        self.how = str(variant.producers)
        # Of its own, as a queue's type cannot be changed.
        queue = f"celery-{variant.queue}"
        self._environment = {
            "BENCH_BROKER_URL": infra.broker_url,
            "BENCH_RESULT_URL": infra.database_url("celery", w="majority", journal="true"),
            "BENCH_QUEUE": queue,
            "BENCH_QUEUE_TYPE": variant.queue,
        }
        super().__init__(
            infra, infra.collection("celery", "celery_taskmeta"), {"status": "SUCCESS"}
        )

    def __enter__(self) -> Self:
        variant = self.variant
        worker = [
            sys.executable, "-m", "celery", "--app", "benchmarks.celery_tasks",
            "worker", "--loglevel", "WARNING", "--pool", variant.pool,
            "--concurrency", str(variant.concurrency),
            "--prefetch-multiplier", str(variant.prefetch),
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]  # fmt: skip
        try:
            self.launch("worker", worker, self._environment)
            producer = [sys.executable, "-m", "benchmarks.celery_producer"]
            greeting = self.launch_producer("celery submitter", producer, self._environment)
            if greeting["write_concern"] != DURABLE:
                raise Failed(f"Celery would write with {greeting['write_concern']}, not {DURABLE}")
        except BaseException:
            self.__exit__()
            raise
        return self
