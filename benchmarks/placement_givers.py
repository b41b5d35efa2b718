"""`python -m benchmarks.placement_givers`: any number of givers in one process, for the seeker.

They are real messages through a real broker; what lies behind them is left out. One kind only
sends heartbeats. The other answers what it is given at once, as if the channel had stored it.

Says that it is ready, then reads one JSON object a line and answers each with one:

    {"do": "beat", "givers": n}              heartbeats of n givers from now on
    {"do": "answer", "givers": n}            n givers that take tasks from now on
    {"do": "submit", "jobs": n, "tasks": m}  n jobs of m tasks
    {"do": "keep", "tasks": n, "each": m}    submit jobs of m tasks whenever fewer than n wait
    {"do": "count"}                          how many tasks were answered, how many beats sent
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from benchmarks.placement_fleet import IMAGE, INTERVAL_S, beats, next_beat
from broker import Consumer, Link
from runtime.lifecycle import TaskGuard
from runtime.logs import configure_logging
from schemas import identifiers, topology
from schemas.heartbeat import Capacity, Heartbeat
from schemas.job import GIB, MIB, ContainerSpec, JobSpec, Resources, Submission

TICK_S = 0.05
CONTAINERS = 500
"""Of each giver that answers."""

Dispatched = dict[str, Any]


class Givers:
    def __init__(self, url: str, guard: TaskGuard) -> None:
        self._guard = guard
        self._url = url
        self._link = Link(url, name="givers", topology=topology.DURABLE)
        self._sent = self._link.publisher(window=2000)
        self._beaten = self._link.publisher(window=2000)
        self._answering: Link | None = None
        self._answered = 0
        self._beats = 0
        self._submitted = 0

    async def start(self) -> None:
        await self._link.start(timeout_s=30)

    async def stop(self) -> None:
        for link in (self._answering, self._link):
            if link is not None:
                await link.stop()

    async def do(self, question: dict[str, Any]) -> dict[str, Any]:
        match question:
            case {"do": "beat", "givers": int(count)}:
                self._guard.spawn(self._beat(beats(count)), "beats")
            case {"do": "answer", "givers": int(count)}:
                await self._begin_to_answer(count)
            case {"do": "submit", "jobs": int(jobs), "tasks": int(tasks)}:
                for _ in range(jobs):
                    await self._submit(tasks)
                await self._link.wait_connected()
            case {"do": "keep", "tasks": int(tasks), "each": int(each)}:
                self._guard.spawn(self._keep_up(tasks, each), "backlog")
        return {"answered": self._answered, "beats": self._beats}

    async def _beat(self, fleet: list[Heartbeat]) -> None:
        """Each of them every interval, spread evenly over it."""
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while True:
            due = int((loop.time() - began) / INTERVAL_S * len(fleet))
            for number in range(sent, due):
                at = number % len(fleet)
                fleet[at] = next_beat(fleet[at], ())
                await self._send_beat(fleet[at])
            sent = max(sent, due)
            await asyncio.sleep(TICK_S)

    async def _send_beat(self, beat: Heartbeat) -> None:
        self._beats += 1
        await self._beaten.send(
            exchange=topology.HEARTBEATS.name,
            routing_key=beat.giver_id,
            body=beat.encode(),
            message_id=f"{beat.giver_id}-{beat.sequence}",
            mandatory=False,
            persistent=False,
        )

    async def _begin_to_answer(self, count: int) -> None:
        self._answering = link = Link(self._url, name="givers", topology=topology.DURABLE)
        consumers = {
            giver_id: link.consumer(queue=_queue_of(giver_id), decode=json.loads)
            for giver_id in (f"answering-{number}" for number in range(count))
        }
        await link.start(timeout_s=30)
        for giver_id, consumer in consumers.items():
            self._guard.spawn(self._answer(giver_id, consumer), giver_id)
        fleet = [_answering_beat(giver_id, link.session) for giver_id in consumers]
        for beat in fleet:
            await self._send_beat(beat)
        self._guard.spawn(self._beat(fleet), "beats")

    async def _answer(self, giver_id: str, consumer: Consumer[Dispatched]) -> None:
        while True:
            batch = await consumer.take()
            given = [each for delivery in batch for each in delivery.message["assignments"]]
            stored_at = datetime.now(UTC).isoformat()
            results = [_result(each, giver_id, stored_at) for each in given]
            await self._sent.send(
                exchange=topology.STORED.name,
                routing_key="",
                body=json.dumps({"schema_version": 1, "results": results}).encode(),
                message_id=results[0]["result_id"],
            )
            consumer.ack(batch)
            self._answered += len(results)

    async def _keep_up(self, waiting: int, each: int) -> None:
        while True:
            while self._submitted - self._answered < waiting:
                await self._submit(each)
            await asyncio.sleep(TICK_S)

    async def _submit(self, tasks: int) -> None:
        resources = Resources(cpus=0.01, memory_bytes=6 * MIB, disk_bytes=0)
        # No two jobs are the same, as with most people.
        command = ("true", str(self._submitted))
        container = ContainerSpec(image=IMAGE, command=command, resources=resources)
        submission = Submission(
            job_id=identifiers.new_job_id(),
            submitted_at=datetime.now(UTC),
            spec=JobSpec(container=container, count=tasks),
        )
        self._submitted += tasks
        await self._sent.send(
            exchange=topology.DEFAULT_EXCHANGE,
            routing_key=topology.SUBMISSIONS.name,
            body=submission.encode(),
            message_id=submission.job_id,
        )


def _queue_of(giver_id: str) -> Any:
    return lambda session: topology.tasks_queue(giver_id, session)


def _answering_beat(giver_id: str, session: str) -> Heartbeat:
    """Of a giver so large that only its containers count."""
    capacity = Capacity(
        cpus=4096, memory_bytes=4096 * GIB, disk_bytes=4096 * GIB, containers=CONTAINERS
    )
    (beat,) = beats(1)
    changes = {
        "giver_id": giver_id,
        "session": session,
        "owner": "",
        "capacity": capacity,
        "free": capacity,
        "images": (IMAGE,),
    }
    return beat.model_copy(update=changes)


def _result(assignment: dict[str, Any], giver_id: str, stored_at: str) -> dict[str, Any]:
    return {
        "result_id": identifiers.result_id(assignment["assignment_id"], giver_id),
        "assignment_id": assignment["assignment_id"],
        "task_id": assignment["task_id"],
        "job_id": assignment["job_id"],
        "giver_id": giver_id,
        "outcome": "succeeded",
        "exit_code": 0,
        "reason": "",
        "digest": "0" * 64,
        "stored_at": stored_at,
    }


async def main() -> None:
    configure_logging("warning", None)
    guard = TaskGuard()
    givers = Givers(os.environ["SEEKER_BROKER_URL"], guard)
    await givers.start()
    _say({})
    asking = guard.spawn(_talk(givers), "questions")
    await asyncio.wait({asking, guard.failed}, return_when=asyncio.FIRST_COMPLETED)
    await guard.cancel()
    await givers.stop()


async def _talk(givers: Givers) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        _say(await givers.do(json.loads(line)))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
