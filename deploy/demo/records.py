"""Every answer to every tile, looked up where any user would: the seeker and the channel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from deploy.demo.audit import Verdict, verdict
from runtime.command_line import Unreachable
from seeker import view
from seeker.client import Client

AT_A_TIME = 4


async def collect(client: Client, channel_url: str, task_ids: Sequence[str]) -> list[Verdict]:
    """One verdict for each task, in their order.

    Raises:
        WrongRecords: a task has no result, or seeker and channel contradict each other.
        Unreachable: the channel or the seeker's database does not answer.
    """
    room = asyncio.Semaphore(AT_A_TIME)
    async with (
        client.store() as store,
        httpx.AsyncClient(base_url=channel_url, timeout=30, trust_env=False) as http,
    ):

        async def one(task_id: str) -> Verdict:
            async with room:
                task = view.task(await client.task(store, task_id))
                response = await http.get(f"/v1/tasks/{task_id}/results")
                response.raise_for_status()
                return verdict(task, response.json())

        try:
            return await asyncio.gather(*map(one, task_ids))
        except httpx.HTTPError as error:
            raise Unreachable(f"the channel at {channel_url} does not answer: {error}") from error
