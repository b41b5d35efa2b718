"""What goes into one message, and that nothing is lost when the broker does not confirm it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker import ConfirmTimeout
from giver import outbox as module
from giver.journal import Journal
from giver.ledger import Ledger
from giver.metrics import Metrics
from giver.outbox import Outbox
from schemas.identifiers import assignment_id, result_id, task_id
from schemas.result import SEQUENCE_BYTES, SEQUENCE_MOST, sequence
from schemas.topology import RESULTS, result_key

JOB = "01JDZZZZZZZZZZZZZZZZZZZZZZ"


def an_id(index: int) -> str:
    return assignment_id(task_id(JOB, index), 1)


class Publisher:
    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.failures: list[Exception] = []

    async def send(self, **message: Any) -> asyncio.Future[None]:
        self.sent.put_nowait(message)
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failures:
            confirm.set_exception(self.failures.pop())
        else:
            confirm.set_result(None)
        return confirm


class Bench:
    """An outbox whose broker alone is played."""

    def __init__(self, journal: Journal) -> None:
        self.publisher = Publisher()
        self.ledger = Ledger(lambda _: None)
        self.outbox = Outbox(
            "giver-1",
            self.publisher,  # type: ignore[arg-type]
            journal,
            self.ledger,
            Metrics(),
            lambda: None,
        )

    async def sent(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.publisher.sent.get(), 10)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    journal = Journal(tmp_path / "journal.sqlite")
    await journal.open()
    bench = Bench(journal)
    running = asyncio.create_task(bench.outbox.run())
    yield bench
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    bench.outbox.stop()
    await journal.close()


async def test_a_result_alone_is_sent_as_it_is(bench: Bench) -> None:
    bench.outbox.add(an_id(0), b"{}")
    message = await bench.sent()
    assert message == {
        "exchange": RESULTS.name,
        "routing_key": result_key("giver-1", task_id(JOB, 0)),
        "body": b"{}",
        "message_id": result_id(an_id(0), "giver-1"),
        "content_type": "application/json",
    }


async def test_results_that_wait_at_one_moment_share_a_message_under_the_key_of_the_first(
    bench: Bench,
) -> None:
    for index in range(SEQUENCE_MOST + 2):
        bench.outbox.add(an_id(index), b"%d" % index)
    first, second = await bench.sent(), await bench.sent()
    assert first["body"] == sequence([b"%d" % index for index in range(SEQUENCE_MOST)])
    assert first["routing_key"] == result_key("giver-1", task_id(JOB, 0))
    assert first["content_type"] == "application/json-seq"
    assert second["body"] == sequence([b"16", b"17"])
    assert second["routing_key"] == result_key("giver-1", task_id(JOB, SEQUENCE_MOST))


async def test_a_large_result_goes_alone_and_none_overtakes_it(bench: Bench) -> None:
    bodies = [b"small", b"x" * SEQUENCE_BYTES, b"after"]
    for index, body in enumerate(bodies):
        bench.outbox.add(an_id(index), body)
    assert [(await bench.sent())["body"] for _ in bodies] == bodies


async def test_what_is_not_confirmed_is_sent_again_and_only_confirms_are_written_down(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_AGAIN_S", 0.0)
    bench.publisher.failures = [ConfirmTimeout("late")]
    for index in range(2):
        bench.outbox.add(an_id(index), b"%d" % index)
    await bench.sent()
    assert not bench.ledger.has_confirmed(an_id(0))
    assert (await bench.sent())["body"] == sequence([b"0", b"1"])
    bench.outbox.stop()
    assert all(bench.ledger.has_confirmed(an_id(index)) for index in range(2))
