"""`python -m benchmarks.ours_producer`: a user's program that submits, told what by its stdin."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import pymongo
from pymongo.read_concern import ReadConcern

from benchmarks.producing import await_document, parse, reply
from runtime.logs import silence_logging
from schemas import identifiers
from schemas.job import ContainerSpec, JobSpec
from seeker.client import SUBMISSIONS_AT_ONCE, Client
from seeker.settings import SeekerSettings

_CONTAINER = ContainerSpec.model_validate_json(os.environ["BENCH_CONTAINER"])


def spec(count: int) -> JobSpec:
    return JobSpec(container=_CONTAINER, count=count)


async def main() -> None:
    silence_logging()
    database: pymongo.database.Database[dict[str, Any]] = pymongo.MongoClient(
        os.environ["CHANNEL_MONGODB_URL"]
    ).get_database(os.environ["CHANNEL_DATABASE"], read_concern=ReadConcern("majority"))
    async with Client(SeekerSettings.load()) as client:
        reply(ready=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            do, count = parse(line)
            began = time.monotonic()
            match do:
                case "array":
                    await client.submit(spec(count))
                    reply(began=began, submitted=time.monotonic())
                case "singles":
                    await _singles(client, count)
                    reply(began=began, submitted=time.monotonic())
                case "one by one":
                    reply(seconds=[await _one(client, database) for _ in range(count)])


async def _singles(client: Client, count: int) -> None:
    async def submit_in_turn() -> None:
        while numbers:
            numbers.pop()
            await client.submit(spec(1))

    numbers = list(range(count))
    await asyncio.gather(*(submit_in_turn() for _ in range(SUBMISSIONS_AT_ONCE)))


async def _one(client: Client, database: pymongo.database.Database[dict[str, Any]]) -> float:
    began = time.monotonic()
    submission = await client.submit(spec(1))
    task = identifiers.task_id(submission.job_id, 0)
    result = identifiers.result_id(identifiers.assignment_id(task, 1), os.environ["GIVER_ID"])
    await_document(database["results"], result)
    return time.monotonic() - began


if __name__ == "__main__":
    asyncio.run(main())
