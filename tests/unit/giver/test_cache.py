"""Contents that a giver keeps for the next task."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from giver.cache import Cache
from runtime.transfers import Transfers
from schemas.data import Input

CONTENT = b"what a task wants"
WANTED = Input(path="in", sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT))


class FromMemory(Transfers):
    """The channel has the content."""

    def __init__(self) -> None:
        self.fetched = 0

    async def fetch(self, url: str, sha256: str, size: int, target: Path) -> None:
        self.fetched += 1
        target.write_bytes(CONTENT)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.transfers = FromMemory()
        self.restart()

    def restart(self) -> None:
        self.cache = Cache(self.folder / "cache", 1 << 20, self.transfers)

    async def place(self, name: str) -> bytes:
        target = self.folder / name
        await self.cache.place(WANTED, "http://channel/", target)
        return target.read_bytes()

    @property
    def kept(self) -> Path:
        return self.folder / "cache" / WANTED.sha256


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_content_is_fetched_once(bench: Bench) -> None:
    assert await bench.place("one") == await bench.place("two") == CONTENT
    bench.restart()
    assert await bench.place("three") == CONTENT
    assert bench.transfers.fetched == 1


@pytest.mark.parametrize("damage", [b"", b"What a task wants", CONTENT + b"x"])
@pytest.mark.parametrize("restart", [False, True])
async def test_what_is_damaged_is_fetched_again(bench: Bench, damage: bytes, restart: bool) -> None:
    await bench.place("one")
    bench.kept.chmod(0o600)
    bench.kept.write_bytes(damage)
    if restart:
        bench.restart()
    assert await bench.place("two") == CONTENT
    assert bench.transfers.fetched == 2
