"""What a giver decided alone is run again by others, once it was caught lying.

What has ended stays as it is: its task names the review, and `seeker votes` compares the two. Which
tasks are still to be reviewed is kept with the giver until their reviews are submitted, under ids
that follow from what they are about: a seeker that dies in between submits nothing twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential
from ulid import ULID

from broker import Publisher, PublishError
from schemas import identifiers
from schemas.job import JobSpec, Submission
from schemas.topology import DEFAULT_EXCHANGE, SUBMISSIONS
from seeker import sweep
from seeker.fleet import Fleet

log = structlog.get_logger(__name__)

Specs = Callable[[Sequence[str]], Awaitable[Mapping[str, JobSpec]]]
"""The specs of jobs by id, ended ones too."""

Marks = Mapping[str, str]
"""By task id, the task that reviews it."""


class Reviewer:
    """Submits the reviews of a giver's work, one giver after the other."""

    def __init__(
        self,
        fleet: Fleet,
        specs: Specs,
        publisher: Publisher,
        submitted: Callable[[str, Marks], None],
    ) -> None:
        """`submitted`: told the giver and what of its work is under review from now on."""
        self._fleet = fleet
        self._specs = specs
        self._publisher = publisher
        self._submitted = submitted
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        for giver_id in (*fleet.givers, *fleet.former):
            self.add(giver_id)

    def add(self, giver_id: str) -> None:
        """See whether anything of its work is to be reviewed."""
        if self._fleet.reputation(giver_id).to_review:
            self._waiting.put_nowait(giver_id)

    async def run(self) -> None:
        while True:
            giver_id = await self._waiting.get()
            reputation = self._fleet.reputation(giver_id)
            task_ids, since = list(reputation.to_review), reputation.lied_at
            if not task_ids or since is None:
                continue
            jobs = list(dict.fromkeys(map(identifiers.job_of, task_ids)))
            specs = await self._specs(jobs)
            # What is not in the database any more cannot be run again, and is not asked for again.
            marks = dict.fromkeys(task_ids, "")
            for job_id, spec in specs.items():
                indices = sorted(
                    identifiers.index_of(each)
                    for each in task_ids
                    if identifiers.job_of(each) == job_id
                )
                review = review_of(giver_id, job_id, spec, indices, since)
                await self._publish(review)
                for number, index in enumerate(indices, start=review.spec.first_index):
                    mark = identifiers.task_id(review.job_id, number)
                    marks[identifiers.task_id(job_id, index)] = mark
                log.warning(
                    "giver_under_review", giver_id=giver_id, job_id=job_id, review=review.job_id
                )
            self._submitted(giver_id, marks)

    async def _publish(self, review: Submission) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(PublishError),
            wait=wait_random_exponential(multiplier=0.5, max=30),
        ):
            with attempt:
                await self._publisher.publish(
                    exchange=DEFAULT_EXCHANGE,
                    routing_key=SUBMISSIONS.name,
                    body=review.encode(),
                    message_id=review.job_id,
                )


def review_of(
    giver_id: str, job_id: str, spec: JobSpec, indices: Sequence[int], since: datetime
) -> Submission:
    """A job of these tasks of another, for anybody but this giver, two of whom have to agree."""
    others = f'id != "{giver_id}"'
    required = spec.placement.require
    rules = spec.agreement
    quorum = max(2, rules.quorum)
    fields = {
        **dict(spec),
        "name": f"review of {giver_id}",
        "agreement": rules.model_copy(
            update={"quorum": quorum, "replicas": max(quorum, rules.replicas), "adaptive": False}
        ),
        "placement": spec.placement.model_copy(
            update={"require": f"({required}) && {others}" if required else others}
        ),
        "after": (),
        "deadline_s": None,
        "queue_timeout_s": None,
        **sweep.part_of(spec, indices),
    }
    # As it follows from what it is about, it is submitted once, however often it is sent.
    about = hashlib.sha256(f"{giver_id} {job_id} {list(indices)}".encode()).digest()
    stamp = int(since.timestamp() * 1000).to_bytes(6, "big")
    return Submission(
        job_id=str(ULID.from_bytes(stamp + about[:10])),
        submitted_at=since,
        spec=JobSpec.model_validate(fields),
    )
