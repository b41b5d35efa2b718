"""What the giver must not forget: assignments it accepted, results it owes, cancels it was told.

SQLite in WAL mode with `synchronous=FULL`, in a thread of its own. Whatever is asked for while a
transaction is on its way goes together into the next one, so that one flush to disk serves many.
A write is durable once awaited; being killed at any point leaves a consistent file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from schemas.assignment import Assignment

log = structlog.get_logger(__name__)

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE assignments (
    sequence      INTEGER PRIMARY KEY,
    assignment_id TEXT NOT NULL UNIQUE,
    assignment    BLOB,            -- JSON; NULL once there is a result
    result        BLOB,            -- JSON as it is sent
    confirmed_at  REAL             -- when the broker confirmed the result
);
CREATE INDEX confirmed ON assignments (confirmed_at) WHERE confirmed_at IS NOT NULL;
CREATE TABLE cancels (
    assignment_id TEXT PRIMARY KEY,
    told_at       REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE checks (id INTEGER PRIMARY KEY, checked_at REAL NOT NULL);
"""

KEEP_RESULTS = 20_000
KEEP_S = 24 * 3600.0
"""Confirmed results and cancels are kept so many and so long, to answer repeats."""
_PRUNE_INTERVAL_S = 5.0
_CHECKPOINT_PAGES = 4_000
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_LOCK_WAIT_S = 5.0
"""Nobody else writes here, but somebody may look."""


class JournalError(Exception):
    """The journal cannot be used or written now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the journal knew when it was opened, in the order of arrival."""

    unfinished: list[Assignment]
    unconfirmed: list[tuple[str, bytes]]
    """Assignment ids and results that the broker has not confirmed."""
    confirmed: list[str]
    cancels: list[str]


@dataclass(slots=True)
class _Write:
    statement: str
    rows: Sequence[tuple[Any, ...]]
    done: asyncio.Future[None] | None


_Read = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class Journal:
    """One writer a file; `open` first, `close` at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inbox: queue.SimpleQueue[_Write | _Read | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pruned_at = 0.0

    async def open(self) -> Snapshot:
        """
        Raises:
            JournalError: cannot be opened, is damaged, or was written by a newer version.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[Snapshot] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._work, args=(opened,), name="journal", daemon=True
        )
        self._thread.start()
        return await opened

    async def accept(self, assignments: Sequence[Assignment]) -> None:
        """Durable when this returns; one that is there already stays as it was."""
        await self._write(
            "INSERT OR IGNORE INTO assignments (assignment_id, assignment) VALUES (?, ?)",
            [(item.assignment_id, item.model_dump_json().encode()) for item in assignments],
        )

    async def finish(self, assignment_id: str, result: bytes) -> None:
        """Record a result; the first one stays. Durable when this returns."""
        await self._write(
            "INSERT INTO assignments (assignment_id, result) VALUES (?, ?) "
            "ON CONFLICT (assignment_id) DO UPDATE "
            "SET result = excluded.result, assignment = NULL WHERE result IS NULL",
            [(assignment_id, result)],
        )

    async def remember_cancels(self, assignment_ids: Sequence[str]) -> None:
        now = time.time()
        await self._write(
            "INSERT OR IGNORE INTO cancels (assignment_id, told_at) VALUES (?, ?)",
            [(assignment_id, now) for assignment_id in assignment_ids],
        )

    async def check(self) -> None:
        """Whether writing works."""
        await self._write(
            "INSERT OR REPLACE INTO checks (id, checked_at) VALUES (1, ?)", [(time.time(),)]
        )

    def confirm(self, assignment_ids: Sequence[str]) -> None:
        """The broker has these results. Not awaited: forgotten, they would be sent once more."""
        now = time.time()
        self._put(
            _Write(
                "UPDATE assignments SET confirmed_at = ? WHERE assignment_id = ?",
                [(now, assignment_id) for assignment_id in assignment_ids],
                None,
            )
        )

    async def results(self, assignment_ids: Sequence[str]) -> list[tuple[str, bytes]]:
        """Those of these results that are still kept."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
            found = []
            for assignment_id in assignment_ids:
                row = connection.execute(
                    "SELECT result FROM assignments WHERE assignment_id = ?", (assignment_id,)
                ).fetchone()
                if row is not None and row[0] is not None:
                    found.append((assignment_id, row[0]))
            return found

        assert self._loop is not None
        answer: asyncio.Future[list[tuple[str, bytes]]] = self._loop.create_future()
        self._put((read, answer))
        return await answer

    async def close(self) -> None:
        """Ends after what was asked for so far."""
        if self._thread is None or not self._thread.is_alive():
            return
        self._put(None)
        await asyncio.to_thread(self._thread.join)

    async def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        assert self._loop is not None
        done: asyncio.Future[None] = self._loop.create_future()
        self._put(_Write(statement, rows, done))
        await done

    def _put(self, item: _Write | _Read | None) -> None:
        self._inbox.put(item)

    # Everything below runs in the journal's thread.

    def _work(self, opened: asyncio.Future[Snapshot]) -> None:
        try:
            self._keep_to_ourselves()
            with contextlib.closing(
                sqlite3.connect(self._path, isolation_level=None, timeout=_LOCK_WAIT_S)
            ) as connection:
                self._prepare(connection)
                self._answer([(opened, self._load(connection), None)])
                while self._serve(connection):
                    pass
        except JournalError as error:
            self._answer([(opened, None, error)])
        except (sqlite3.Error, ValueError, OSError) as error:
            self._answer([(opened, None, self._explain(error))])

    def _keep_to_ourselves(self) -> None:
        """Assignments may hold secrets. SQLite makes its other files as this one is."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.chmod(0o600)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )
        elif version != _SCHEMA_VERSION:
            raise JournalError(
                f"the journal {self._path} has format {version}, this giver knows "
                f"{_SCHEMA_VERSION}: upgrade it, or give it another --state-dir"
            )

    def _load(self, connection: sqlite3.Connection) -> Snapshot:
        rows = connection.execute(
            "SELECT assignment FROM assignments WHERE result IS NULL ORDER BY sequence"
        )
        unfinished = [Assignment.model_validate_json(body) for (body,) in rows]
        unconfirmed = connection.execute(
            "SELECT assignment_id, result FROM assignments "
            "WHERE result IS NOT NULL AND confirmed_at IS NULL ORDER BY sequence"
        ).fetchall()
        confirmed = connection.execute(
            "SELECT assignment_id FROM assignments WHERE confirmed_at IS NOT NULL "
            "ORDER BY confirmed_at"
        )
        cancels = connection.execute("SELECT assignment_id FROM cancels ORDER BY told_at")
        return Snapshot(
            unfinished, unconfirmed, [row[0] for row in confirmed], [row[0] for row in cancels]
        )

    def _serve(self, connection: sqlite3.Connection) -> bool:
        """One round: all that is asked for by now. False: asked to end."""
        batch: list[_Write | _Read | None] = [self._inbox.get()]
        while True:
            try:
                batch.append(self._inbox.get_nowait())
            except queue.Empty:
                break
        writes = [item for item in batch if isinstance(item, _Write)]
        failure = self._commit(connection, writes) if writes else None
        answers: list[tuple[asyncio.Future[Any], Any, Exception | None]] = [
            (write.done, None, failure) for write in writes if write.done is not None
        ]
        for item in batch:
            if isinstance(item, tuple):
                read, answer = item
                try:
                    answers.append((answer, read(connection), None))
                except sqlite3.Error as error:
                    answers.append((answer, None, self._explain(error)))
        self._answer(answers)
        return None not in batch

    def _commit(
        self, connection: sqlite3.Connection, writes: Sequence[_Write]
    ) -> JournalError | None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in writes:
                connection.executemany(write.statement, write.rows)
            self._prune(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = self._explain(error)
            log.error("journal_write_failed", reason=str(failure))
            return failure
        return None

    def _prune(self, connection: sqlite3.Connection) -> None:
        now = time.time()
        if now - self._pruned_at < _PRUNE_INTERVAL_S:
            return
        self._pruned_at = now
        connection.execute(
            "DELETE FROM assignments WHERE confirmed_at < (SELECT confirmed_at FROM assignments "
            "WHERE confirmed_at IS NOT NULL ORDER BY confirmed_at DESC LIMIT 1 OFFSET ?)",
            (KEEP_RESULTS,),
        )
        connection.execute("DELETE FROM assignments WHERE confirmed_at < ?", (now - KEEP_S,))
        connection.execute("DELETE FROM cancels WHERE told_at < ?", (now - KEEP_S,))

    def _explain(self, error: Exception) -> JournalError:
        damaged = getattr(error, "sqlite_errorcode", None) in _DAMAGED
        remedy = (
            "it is damaged: move it away to go on without what it holds of tasks and results"
            if damaged
            else "see to free space and permissions there"
        )
        failure = JournalError(f"the journal {self._path} cannot be used ({error}): {remedy}")
        failure.__cause__ = error
        return failure

    def _answer(self, answers: Sequence[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
        if not answers:
            return

        def settle() -> None:
            for future, value, error in answers:
                if future.done():
                    continue
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(value)

        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            log.debug("journal_answer_dropped", reason="the loop is closed")
