"""Processes of a benchmark: started, asked, measured, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from runtime.command_line import Failed

GRACE_S = 20.0
_TAIL_LINES = 15


class Child:
    """A process of ours with its log; `stop` ends it and all it started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        talks: bool = False,
    ) -> None:
        """`talks`: answers on its stdout, which otherwise goes into the log."""
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                text=True,
                # Ctrl-C is for us alone: we end it in our own time.
                start_new_session=True,
            )
        self._watched = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, **question: Any) -> dict[str, Any]:
        """One line of JSON in, one line out.

        Raises:
            Failed: it died instead; with the end of its log.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """The next line of JSON; errors as above."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise self._died()
        document: dict[str, Any] = json.loads(answer)
        return document

    def wait_until(self, condition: Callable[[], bool], patience_s: float = 60.0) -> None:
        """
        Raises:
            Failed: it died, or the condition does not come true.
        """
        until = time.monotonic() + patience_s
        while not condition():
            if self._process.poll() is not None:
                raise self._died()
            if time.monotonic() > until:
                raise Failed(f"{self.name} is not ready after {patience_s:g} s{self.tail()}")
            time.sleep(0.05)

    def cpu_s(self) -> float:
        return cpu_s(self._watched)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _died(self) -> Failed:
        code = self._process.wait()
        return Failed(f"{self.name} ended with exit code {code}{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "".join(f"\n    {line}" for line in lines)


def cpu_s(process: psutil.Process) -> float:
    """Seconds of CPU that a process and its children took so far."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += float(times.user + times.system)
    return total


def listening_on(port: int) -> psutil.Process | None:
    """Who listens there; `None` where that is not on this machine, or not for us to see."""
    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr.port == port
                and connection.pid is not None
            ):
                return psutil.Process(connection.pid)
    return None
