"""What the command line does: submit through the broker, read the seeker's database, and ask the
channel for results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

import httpx

from broker import BrokerUnreachable, Link, Publisher, PublishError
from runtime.command_line import Unreachable, UserError
from schemas import identifiers, topology
from schemas.base import MalformedMessage, Message
from schemas.job import Action, Command, JobSpec, Submission
from schemas.states import TaskState
from seeker.catalogue import Catalogue
from seeker.database import StoreError, StoreUnreachable
from seeker.documents import Document
from seeker.settings import SeekerSettings

CONNECT_S = 5.0
CONFIRM_S = 15.0
SUBMISSIONS_AT_ONCE = 100
"""On their way; each may be some megabytes large."""
KNOWN_WITHIN_S = 5.0
"""A job just submitted takes a moment until the seeker has written it down."""


class Client:
    """Connects when there is something to send; inside `async with` only once, for all of it."""

    def __init__(self, settings: SeekerSettings) -> None:
        self._settings = settings
        self._link: Link | None = None
        self._publisher: Publisher | None = None

    async def __aenter__(self) -> Self:
        """
        Raises:
            Unreachable: the broker does not answer.
        """
        link = Link(self._settings.broker_url, name="seeker-cli", topology=topology.DURABLE)
        self._publisher = link.publisher(window=SUBMISSIONS_AT_ONCE, deadline_s=CONFIRM_S)
        try:
            await link.start(timeout_s=CONNECT_S)
        except BrokerUnreachable as error:
            raise Unreachable(str(error)) from error
        self._link = link
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            await self._link.stop()
        self._link = self._publisher = None

    @property
    def broker_url(self) -> str:
        return self._settings.broker_url

    # -- Through the broker -----------------------------------------------------------------------

    async def submit(self, spec: JobSpec) -> Submission:
        """Returns once the broker has confirmed: from then on the job cannot get lost.

        Raises:
            UserError: it is too large for one message.
            Unreachable: the broker does not take it.
        """
        submission = Submission(
            job_id=identifiers.new_job_id(), submitted_at=datetime.now(UTC), spec=spec
        )
        await self._send(topology.SUBMISSIONS.name, submission, submission.job_id)
        return submission

    async def command(self, action: Action, target: str, reason: str = "") -> None:
        """Ask the seeker to do something to a job, a task or a giver."""
        command = Command(action=action, target=target, reason=reason, issued_at=datetime.now(UTC))
        await self._send(topology.COMMANDS.name, command, f"{action}-{target}")

    async def _send(self, queue: str, message: Message, message_id: str) -> None:
        try:
            body = message.encode()
        except MalformedMessage as error:
            raise UserError(str(error)) from error
        if self._publisher is None:
            async with Client(self._settings) as connected:
                await connected._publish(queue, body, message_id)
        else:
            await self._publish(queue, body, message_id)

    async def _publish(self, queue: str, body: bytes, message_id: str) -> None:
        assert self._publisher is not None
        try:
            await self._publisher.publish(
                exchange=topology.DEFAULT_EXCHANGE,
                routing_key=queue,
                body=body,
                message_id=message_id,
            )
        except PublishError as error:
            raise Unreachable(f"the broker did not accept the message: {error}") from error

    # -- From the seeker's database ---------------------------------------------------------------

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Catalogue]:
        """
        Raises:
            Unreachable: the database does not answer.
            UserError: it refuses.
            SettingsError: its URL is wrong.
        """
        try:
            store = Catalogue(self._settings.mongodb_url, self._settings.database, timeout_s=3.0)
            try:
                yield store
            finally:
                await store.close()
        except StoreUnreachable as error:
            raise Unreachable(str(error)) from error
        except StoreError as error:
            raise UserError(str(error)) from error

    async def job(self, store: Catalogue, job_id: str) -> Document:
        """
        Raises:
            UserError: the seeker does not know it.
        """
        return await self._known("job", job_id, lambda: store.job(job_id))

    async def task(self, store: Catalogue, task_id: str) -> Document:
        """
        Raises:
            UserError: the seeker does not know it.
        """
        return await self._known("task", task_id, lambda: store.task(task_id))

    async def giver(self, store: Catalogue, giver_id: str) -> Document:
        """
        Raises:
            UserError: there is no such giver, nor was there.
        """
        document = await store.giver(giver_id)
        if document is None:
            raise UserError(
                f"no giver {giver_id} is known: `seeker givers --all` lists those that are"
            )
        return document

    async def check_awaited(self, job_ids: Sequence[str]) -> None:
        """Find out, as far as the database can be asked, whether a job may wait for these.

        Raises:
            UserError: one is unknown, or has ended without success.
        """
        if not job_ids:
            return
        try:
            async with self.store() as store:
                led = (await store.lease()).valid
                for job_id in job_ids:
                    # Without a leader, nobody has read what was submitted a moment ago.
                    document = await (self.job(store, job_id) if led else store.job(job_id))
                    state = TaskState(document["state"]) if document else TaskState.PENDING
                    if state.final and state is not TaskState.SUCCEEDED:
                        raise UserError(
                            f"job {job_id} is {state}: a job after it would never begin; "
                            f"name another, such as one made by `seeker retry {job_id}`"
                        )
        except Unreachable:
            return

    async def _known(
        self, kind: str, identifier: str, look: Callable[[], Awaitable[Document | None]]
    ) -> Document:
        loop = asyncio.get_running_loop()
        until = loop.time() + KNOWN_WITHIN_S
        while True:
            document = await look()
            if document is not None:
                return document
            if loop.time() > until:
                raise UserError(
                    f"{kind} {identifier} is not known to the seeker: the id is wrong, or no "
                    "`seeker run` has read the submission yet"
                )
            await asyncio.sleep(0.1)

    # -- From the channel -------------------------------------------------------------------------

    async def result(self, result_id: str) -> dict[str, Any]:
        """
        Raises:
            Unreachable: the channel does not answer.
            UserError: its URL is wrong.
        """
        url = f"{self._settings.channel_url.rstrip('/')}/v1/results/{result_id}"
        try:
            async with httpx.AsyncClient(timeout=10.0) as http:
                response = await http.get(url)
                response.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise Unreachable(
                f"the channel answered {error.response.status_code} to {url}: "
                f"{error.response.text[:200]}"
            ) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UserError(
                f"SEEKER_CHANNEL_URL={self._settings.channel_url!r} does not fit ({error}): "
                "give it as http://host:8700"
            ) from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"the channel at {self._settings.channel_url} does not answer ({error}): "
                "see that `channel serve` runs, or mend SEEKER_CHANNEL_URL"
            ) from error
        document: dict[str, Any] = response.json()
        return document
