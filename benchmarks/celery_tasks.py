"""The Celery application, as durable as ours: confirms, late acknowledgement, majority writes.

The same in the producer and in the worker; what differs between variants is in the environment.
"""

from __future__ import annotations

import os

from celery import Celery

app = Celery(
    "benchmarks", broker=os.environ["BENCH_BROKER_URL"], backend=os.environ["BENCH_RESULT_URL"]
)
app.conf.update(
    # Durable and persistent are Celery's defaults.
    task_default_queue=os.environ["BENCH_QUEUE"],
    task_default_queue_type=os.environ["BENCH_QUEUE_TYPE"],
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    result_extended=False,
    # As lean as it gets.
    task_serializer="json",
    result_serializer="json",
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types.
def noop() -> None:
    """Does nothing, as our engine does."""
