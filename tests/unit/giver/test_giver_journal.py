"""What is in the journal stays there, whatever kills the process."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from giver import journal as module
from giver.journal import Journal, JournalError, Snapshot
from schemas.assignment import Assignment
from schemas.identifiers import assignment_id, new_job_id, task_id
from schemas.job import ContainerSpec


def assignment() -> Assignment:
    job = new_job_id()
    task = task_id(job, 0)
    return Assignment(
        assignment_id=assignment_id(task, 1),
        task_id=task,
        job_id=job,
        container=ContainerSpec(image="i:1", command=("run",), env={"A": "b"}),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    made = Journal(path)
    await made.open()
    yield made
    await made.close()


async def reopened(path: Path) -> Snapshot:
    again = Journal(path)
    try:
        return await again.open()
    finally:
        await again.close()


async def test_accepted_assignments_are_found_in_the_order_of_arrival(
    journal: Journal, path: Path
) -> None:
    wanted = [assignment() for _ in range(20)]
    await journal.accept(wanted[:15])
    await journal.accept(wanted[15:])
    assert (await reopened(path)).unfinished == wanted


async def test_a_result_takes_the_place_of_its_assignment_until_confirmed(
    journal: Journal, path: Path
) -> None:
    one, other = assignment(), assignment()
    await journal.accept([one, other])
    await journal.finish(one.assignment_id, b"result")
    snapshot = await reopened(path)
    assert snapshot.unfinished == [other]
    assert snapshot.unconfirmed == [(one.assignment_id, b"result")]
    journal.confirm([one.assignment_id])
    assert await journal.results([one.assignment_id, other.assignment_id]) == [
        (one.assignment_id, b"result")
    ]
    snapshot = await reopened(path)
    assert snapshot.unconfirmed == []
    assert snapshot.confirmed == [one.assignment_id]


async def test_a_repeat_changes_nothing(journal: Journal, path: Path) -> None:
    one = assignment()
    await journal.accept([one])
    await journal.finish(one.assignment_id, b"first")
    await journal.accept([one])
    await journal.finish(one.assignment_id, b"second")
    snapshot = await reopened(path)
    assert snapshot.unfinished == []
    assert snapshot.unconfirmed == [(one.assignment_id, b"first")]


async def test_a_result_needs_no_accepted_assignment(journal: Journal, path: Path) -> None:
    await journal.finish("never-accepted", b"cancelled")
    assert (await reopened(path)).unconfirmed == [("never-accepted", b"cancelled")]


async def test_cancels_are_remembered(journal: Journal, path: Path) -> None:
    await journal.remember_cancels(["a", "b"])
    await journal.remember_cancels(["a"])
    assert sorted((await reopened(path)).cancels) == ["a", "b"]


async def test_many_writers_share_transactions(journal: Journal, path: Path) -> None:
    wanted = [assignment() for _ in range(500)]
    await asyncio.gather(*(journal.accept([each]) for each in wanted))
    assert len((await reopened(path)).unfinished) == 500


async def test_confirmed_results_are_kept_within_bounds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_RESULTS", 10)
    monkeypatch.setattr(module, "_PRUNE_INTERVAL_S", 0.0)
    journal = Journal(path)
    await journal.open()
    for number in range(30):
        await journal.finish(str(number), b"result")
        journal.confirm([str(number)])
    await journal.finish("unconfirmed", b"result")
    await journal.close()
    snapshot = await reopened(path)
    assert snapshot.unconfirmed == [("unconfirmed", b"result")]
    assert 10 <= len(snapshot.confirmed) <= 12
    assert snapshot.confirmed[-1] == "29"


async def test_a_write_that_fails_says_so_and_the_next_one_works(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_WAIT_S", 0.1)
    journal = Journal(path)
    await journal.open()
    one = assignment()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match=r"journal\.sqlite cannot be used"):
        await journal.accept([one])
    blocker.execute("ROLLBACK")
    blocker.close()
    await journal.accept([one])
    await journal.close()
    assert (await reopened(path)).unfinished == [one]


async def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(JournalError, match=f"{path}.*: it is damaged: move it away"):
        await Journal(path).open()


async def test_nobody_else_can_read_it(path: Path) -> None:
    path.touch(0o644)
    journal = Journal(path)
    await journal.open()
    await journal.remember_cancels(["a"])
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    await journal.close()
    assert f"{path.name}-wal" in modes
    assert set(modes.values()) == {0o600}


async def test_a_newer_format_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="format 99"):
        await Journal(path).open()


WRITER = """
import asyncio, sys
from pathlib import Path
from giver.journal import Journal

async def main():
    journal = Journal(Path(sys.argv[1]))
    await journal.open()
    number = 0
    while True:
        await journal.finish(str(number), b"x" * 1000)
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


async def test_what_was_awaited_survives_sigkill(path: Path) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    told = -1
    for _ in range(40):
        told = int(await writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    rest = await writer.stdout.read()
    await writer.wait()
    told = int(rest.split()[-1]) if rest.endswith(b"\n") else told
    written = {name for name, _ in (await reopened(path)).unconfirmed}
    assert written >= {str(number) for number in range(told + 1)}
