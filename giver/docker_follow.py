"""Following one container from its start to its end, in one thread.

The output of a container started here comes from `attach`, which is exact. That of one found
running after a restart is read back from its log once it has ended: a log may be read whole at
any time, whereas following it across rotations is not reliable.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from docker import APIClient
from docker.errors import APIError

from giver.cgroups import CgroupReader
from giver.docker_errors import explanation
from giver.engine import (
    CommandNotRunnable,
    Container,
    CreateAgain,
    EngineUnavailable,
    Exit,
    ImageUnusable,
)
from giver.output import FrameParser, Output

_READ_BYTES = 1 << 16
_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 1.0
_SILENCE_S = 15.0
"""After so long without output, ask whether the container still runs: an end may get lost."""
_EXIT_POLL_S = 0.01
_LATE_OOM_S = 0.2
"""Docker may learn that memory ran out just after it learned of the exit."""
_SIGKILLED = 137
_LOGGED_AROUND_LINE = 100
_LOGGED_FOR_BYTE = 6
"""Bytes of JSON in Docker's log, at the most: beside a line, and for each byte of it."""
_NO_SUCH_USER = ("unable to find user", "unable to find group", "no matching entries in")


class Followers:
    """All followings of an engine; `close` wakes every one of them."""

    def __init__(self, on_init_missing: Callable[[], None]) -> None:
        self._on_init_missing = on_init_missing
        self._wake_read, self._wake_write = os.pipe()
        self._closed = False

    def close(self) -> None:
        """The pipe itself stays open: a thread may still be about to look at it."""
        if not self._closed:
            self._closed = True
            os.write(self._wake_write, b"x")

    def follow(
        self,
        client: APIClient,
        container: Container,
        output: Output,
        started: Callable[[float], None],
        cgroup_parent: str,
        log_bytes: int,
    ) -> Exit:
        """See `Engine.follow`; docker-py's exceptions are the caller's to translate.

        `log_bytes`: of the log's files, each; when one is full, an older one may be gone.
        """
        usage = CgroupReader(container.id, cgroup_parent)
        attach = container.fresh
        if not attach:
            state = client.inspect_container(container.id)["State"]
            attach = state["Status"] == "created"
            if state["Running"]:
                started(max(0.0, time.time() - _timestamp(state["StartedAt"])))
        if attach:
            self._run_attached(client, container.id, output, started, usage)
        state = self._exited(client, container.id, usage)
        whole = attach or _read_log(client, container.id, output) < log_bytes or output.exceeded
        doubtful = not attach and (output.stdout.doubtful or output.stderr.doubtful)
        return Exit(
            code=int(state["ExitCode"]),
            out_of_memory=bool(state["OOMKilled"]) or usage.oom_kills > 0,
            error=str(state.get("Error") or ""),
            wall_s=max(0.0, _timestamp(state["FinishedAt"]) - _timestamp(state["StartedAt"])),
            cpu_s=usage.cpu_s,
            peak_memory_bytes=usage.peak_memory_bytes,
            traffic=usage.traffic,
            exact_output=whole and not doubtful,
        )

    def _run_attached(
        self,
        client: APIClient,
        container_id: str,
        output: Output,
        started: Callable[[float], None],
        usage: CgroupReader,
    ) -> None:
        stream = client.attach_socket(container_id, {"stdout": 1, "stderr": 1, "stream": 1})
        try:
            try:
                client.start(container_id)
            except APIError as error:
                self._explain_start(client, container_id, error)
                raise
            started(0.0)
            self._drain(client, container_id, stream, output, usage)
        finally:
            # The response first: it flushes what it read from, which fails on a closed stream.
            if (response := getattr(stream, "_response", None)) is not None:
                response.close()
            stream.close()

    def _explain_start(self, client: APIClient, container_id: str, error: APIError) -> None:
        """
        Raises:
            CreateAgain, CommandNotRunnable: where that is the reason.
        """
        text = explanation(error)
        if "docker-init" in text:
            self._on_init_missing()
            raise CreateAgain(text) from error
        if any(said in text for said in _NO_SUCH_USER):
            raise ImageUnusable(text) from error
        code = int(client.inspect_container(container_id)["State"]["ExitCode"])
        if code in (126, 127):
            raise CommandNotRunnable(text.rpartition("process: ")[2], code) from error

    def _drain(
        self,
        client: APIClient,
        container_id: str,
        stream: Any,
        output: Output,
        usage: CgroupReader,
    ) -> None:
        parser = FrameParser(output)
        read = stream.read if hasattr(stream, "read") else stream.recv
        poller = select.poll()
        poller.register(stream.fileno(), select.POLLIN | select.POLLHUP)
        poller.register(self._wake_read, select.POLLIN)
        patience = _FIRST_POLL_S
        sampled_at = asked_at = time.monotonic()
        while True:
            ready = poller.poll(patience * 1000)
            self._check_open()
            now = time.monotonic()
            if not ready or now - sampled_at > _LONGEST_POLL_S:
                usage.sample()
                sampled_at = now
                patience = min(patience * 2, _LONGEST_POLL_S)
            if ready:
                data = read(_READ_BYTES)
                if not data:
                    return
                parser.feed(data)
                asked_at = now
            elif now - asked_at > _SILENCE_S:
                if not client.inspect_container(container_id)["State"]["Running"]:
                    return
                asked_at = now

    def _exited(self, client: APIClient, container_id: str, usage: CgroupReader) -> dict[str, Any]:
        """Its state once it has ended. Short polls: a long wait could not be woken."""
        pause = _EXIT_POLL_S
        asked_again = False
        while True:
            state: dict[str, Any] = client.inspect_container(container_id)["State"]
            if not state["Running"]:
                if state["ExitCode"] != _SIGKILLED or state["OOMKilled"] or asked_again:
                    return state
                asked_again = True
                pause = _LATE_OOM_S
            else:
                usage.sample()
            select.select([self._wake_read], [], [], pause)
            self._check_open()
            pause = min(pause * 2, _LONGEST_POLL_S)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineUnavailable("this giver is stopping")


def _read_log(client: APIClient, container_id: str, output: Output) -> int:
    """The log of a container that has ended, as far as the output's limit goes.

    Returns how many bytes its files may have had for that, at the most.
    """
    url = f"{client.base_url}/v{client.api_version}/containers/{container_id}/logs"
    parser = FrameParser(output)
    with client.get(url, params={"stdout": 1, "stderr": 1}, stream=True) as response:
        response.raise_for_status()
        for chunk in response.iter_content(_READ_BYTES):
            parser.feed(chunk)
            if output.exceeded:
                break
    return parser.frames * _LOGGED_AROUND_LINE + parser.size * _LOGGED_FOR_BYTE


def _timestamp(text: str) -> float:
    """Docker writes nanoseconds, Python reads microseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()
