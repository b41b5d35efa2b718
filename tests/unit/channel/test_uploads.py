"""Whoever leaves a content too slowly makes room for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channel import artifacts_api


class Sender:
    """A request whose body comes in pieces, each after a pause in seconds."""

    def __init__(self, *pieces: tuple[float, bytes]) -> None:
        self._pieces = pieces

    async def stream(self) -> AsyncIterator[bytes]:
        for pause_s, piece in self._pieces:
            await asyncio.sleep(pause_s)
            yield piece


async def received(*pieces: tuple[float, bytes]) -> bytes:
    request: Any = Sender(*pieces)
    return b"".join([piece async for piece in artifacts_api._pieces(request)])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts_api, "PATIENCE_S", 0.2)
    monkeypatch.setattr(artifacts_api, "LEAST_BYTES_PER_S", 1000)


async def test_what_comes_is_taken() -> None:
    assert await received((0.01, b"one"), (0, b""), (0.01, b"two"), (0, b"")) == b"onetwo"


async def test_who_falls_silent_is_not_waited_for() -> None:
    with pytest.raises(TimeoutError):
        await received((0, b"x" * 100_000), (10, b"more"))


async def test_who_sends_a_byte_now_and_then_is_not_waited_for() -> None:
    with pytest.raises(TimeoutError):
        await received(*[(0.05, b"x")] * 100)


async def test_who_is_slow_but_not_that_slow_is() -> None:
    assert len(await received(*[(0.05, b"x" * 1000)] * 10)) == 10_000
