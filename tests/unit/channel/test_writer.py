"""The writer's order of steps, with doubles that note what is asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import pytest

from broker import Delivery, Unroutable
from channel import documents
from channel.documents import Document
from channel.metrics import Metrics
from channel.store import Inserted, StoreUnavailable
from channel.writer import WRITES_AT_ONCE, Results, Writer, batch_id
from runtime.lifecycle import TaskGuard
from schemas import digests
from schemas.result import Result, StoredBatch, StoredResult
from schemas.topology import STORED, result_key
from tests.unit.channel.builders import NOON, a_result

History = list[tuple[str, Any]]


def delivery(*results: Result, tag: int = 1, **changes: Any) -> Results:
    result = results[0]
    return Delivery(
        results,
        b"",
        False,
        "results",
        result_key(result.giver_id, result.task_id),
        "someone",
        result.result_id,
        1,
        tag,
    )._replace(**changes)


class Consumer:
    def __init__(self, history: History) -> None:
        self.batches: asyncio.Queue[list[Results]] = asyncio.Queue()
        self.settled = asyncio.Event()
        self._history = history

    async def take(self) -> list[Results]:
        return await self.batches.get()

    def ack(self, batch: list[Results]) -> None:
        self._history.append(("acknowledged", [each.tag for each in batch]))
        self.settled.set()

    def reject(self, rejected: Results, reason: str) -> None:
        self._history.append(("rejected", (rejected.tag, reason)))
        self.settled.set()


class Publisher:
    def __init__(self, history: History) -> None:
        self.failures: list[Exception] = []
        self.messages: list[dict[str, Any]] = []
        self._history = history

    async def publish(self, **message: Any) -> None:
        if self.failures:
            self._history.append(("not told", None))
            raise self.failures.pop(0)
        self.messages.append(message)
        told = StoredBatch.decode(message["body"])
        self._history.append(("told", [each.result_id for each in told.results]))


class Store:
    def __init__(self, history: History) -> None:
        self.documents: dict[str, Document] = {}
        self.failures: list[Exception] = []
        self.refuses: dict[str, str] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0
        self.entered = asyncio.Semaphore(0)
        self._history = history

    async def insert(self, batch: Sequence[Document]) -> Inserted:
        self.waiting += 1
        self.entered.release()
        await self.open.wait()
        self.waiting -= 1
        if self.failures:
            self._history.append(("not stored", None))
            raise self.failures.pop(0)
        inserted = Inserted(set(), {})
        for position, document in enumerate(batch):
            if document["_id"] in self.refuses:
                inserted.refused[position] = self.refuses[document["_id"]]
            elif document["_id"] in self.documents:
                inserted.duplicates.add(position)
            else:
                self.documents[document["_id"]] = document
        self._history.append(("stored", len(batch)))
        return inserted

    async def summaries(self, result_ids: Collection[str]) -> list[StoredResult]:
        return [documents.to_summary(self.documents[each]) for each in result_ids]


class Artifacts:
    """Nothing was left."""

    async def missing(self, contents: Collection[str]) -> set[str]:
        return set(contents)


class Bench:
    def __init__(self) -> None:
        self.history: History = []
        self.consumer = Consumer(self.history)
        self.publisher = Publisher(self.history)
        self.store = Store(self.history)
        self.metrics = Metrics()
        self.guard = TaskGuard()
        self.writer = Writer(
            self.consumer,  # type: ignore[arg-type]
            self.publisher,  # type: ignore[arg-type]
            self.store,  # type: ignore[arg-type]
            Artifacts(),  # type: ignore[arg-type]
            self.metrics,
            self.guard,
            clock=lambda: NOON,
        )

    async def deliver(self, *batch: Results) -> None:
        """Returns once all of the batch is acknowledged or rejected."""
        self.consumer.settled.clear()
        self.consumer.batches.put_nowait(list(batch))
        await asyncio.wait_for(self.consumer.settled.wait(), 10)

    def counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.writer.start()
    yield bench
    await bench.writer.stop()
    assert not bench.guard.failed.done()
    await bench.guard.cancel()


async def test_a_batch_is_stored_then_told_then_acknowledged(bench: Bench) -> None:
    first, second = a_result(0), a_result(1)
    await bench.deliver(delivery(first, tag=1), delivery(second, tag=2))
    assert bench.history == [
        ("stored", 2),
        ("told", [first.result_id, second.result_id]),
        ("acknowledged", [1, 2]),
    ]
    (message,) = bench.publisher.messages
    assert message["exchange"] == STORED.name
    assert bench.store.documents[first.result_id]["sent_by"] == "someone"


async def test_while_the_database_is_away_nothing_is_told_or_acknowledged(bench: Bench) -> None:
    bench.store.failures = [StoreUnavailable("away"), StoreUnavailable("still away")]
    result = a_result()
    await bench.deliver(delivery(result))
    assert bench.history == [
        ("not stored", None),
        ("not stored", None),
        ("stored", 1),
        ("told", [result.result_id]),
        ("acknowledged", [1]),
    ]
    assert bench.counted("channel_write_failures_total") == 2


async def test_what_cannot_be_told_is_told_again_before_it_is_acknowledged(bench: Bench) -> None:
    bench.publisher.failures = [Unroutable("no queue")]
    result = a_result()
    await bench.deliver(delivery(result))
    assert bench.history == [
        ("stored", 1),
        ("not told", None),
        ("told", [result.result_id]),
        ("acknowledged", [1]),
    ]


async def test_a_repeated_result_is_told_as_it_was_stored_first(bench: Bench) -> None:
    first = a_result(stdout="first")
    await bench.deliver(delivery(first))
    await bench.deliver(delivery(a_result(stdout="second"), redelivered=True))
    told = [StoredBatch.decode(message["body"]).results for message in bench.publisher.messages]
    expected = [digests.digest(first)]
    assert [[each.digest for each in results] for results in told] == [expected, expected]
    assert bench.publisher.messages[0]["message_id"] == bench.publisher.messages[1]["message_id"]
    assert bench.counted("channel_results_stored_total") == 1
    assert bench.counted("channel_results_duplicate_total") == 1


async def test_a_result_twice_in_one_batch_is_told_once(bench: Bench) -> None:
    result = a_result()
    await bench.deliver(delivery(result, tag=1), delivery(result, tag=2))
    assert bench.history == [
        ("stored", 2),
        ("told", [result.result_id]),
        ("acknowledged", [1, 2]),
    ]


async def test_a_result_that_the_database_refuses_for_good_holds_nobody_up(bench: Bench) -> None:
    good, bad = a_result(0), a_result(1)
    bench.store.refuses[bad.result_id] = "too strange"
    await bench.deliver(delivery(bad, tag=1), delivery(good, tag=2))
    assert bench.history == [
        ("stored", 2),
        ("told", [good.result_id]),
        ("rejected", (1, "too strange")),
        ("acknowledged", [2]),
    ]
    assert bench.counted("channel_results_rejected_total") == 1


async def test_what_came_with_a_result_that_is_refused_is_told_before_the_message_goes(
    bench: Bench,
) -> None:
    good, bad, other = a_result(0), a_result(1), a_result(2)
    bench.store.refuses[bad.result_id] = "too strange"
    await bench.deliver(delivery(good, bad, tag=1), delivery(other, tag=2))
    assert bench.history == [
        ("stored", 3),
        ("told", [good.result_id, other.result_id]),
        ("rejected", (1, "too strange")),
        ("acknowledged", [2]),
    ]
    assert bench.counted("channel_results_stored_total") == 2


async def test_a_result_under_a_foreign_routing_key_is_not_stored(bench: Bench) -> None:
    await bench.deliver(delivery(a_result(), tag=7, routing_key="giver-2.x"))
    ((event, (tag, reason)),) = bench.history
    assert (event, tag) == ("rejected", 7)
    assert "came under 'giver-2.x'" in reason


async def test_no_more_is_taken_than_is_written_at_once(bench: Bench) -> None:
    bench.store.open.clear()
    for index in range(WRITES_AT_ONCE + 2):
        bench.consumer.batches.put_nowait([delivery(a_result(index), tag=index)])
    async with asyncio.timeout(10):
        for _ in range(WRITES_AT_ONCE):
            await bench.store.entered.acquire()
    for _ in range(100):
        await asyncio.sleep(0)
    assert bench.store.waiting == WRITES_AT_ONCE
    assert bench.consumer.batches.qsize() == 2
    bench.store.open.set()


async def test_stopping_finishes_what_is_being_written_and_takes_no_more(bench: Bench) -> None:
    bench.store.open.clear()
    bench.consumer.batches.put_nowait([delivery(a_result())])
    await asyncio.wait_for(bench.store.entered.acquire(), 10)
    stopping = asyncio.create_task(bench.writer.stop())
    await asyncio.sleep(0)
    bench.consumer.batches.put_nowait([delivery(a_result(1))])
    bench.store.open.set()
    await stopping
    assert bench.history[-1] == ("acknowledged", [1])
    assert bench.consumer.batches.qsize() == 1


def test_the_same_results_make_the_same_message_id_in_any_order() -> None:
    assert batch_id(["a", "b"]) == batch_id(["b", "a"]) != batch_id(["ab"])
