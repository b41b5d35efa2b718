"""One assignment, from accepted to what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from giver.data import Data, OutputsMissing
from giver.disk_quota import DiskQuota
from giver.engine import (
    CommandNotRunnable,
    Container,
    CreateAgain,
    Engine,
    EngineError,
    EngineUnavailable,
    Exit,
    Image,
    ImageUnusable,
    Mount,
    Plan,
    RequestRefused,
)
from giver.frost import Deadline, Frost
from giver.outcome import CANCELLED_BEFORE_START, EndedBy, Finding, judge
from giver.output import Output, new_output
from giver.progress import ProgressLines
from giver.settings import GiverSettings
from giver.trees import TreeRefused
from runtime.transfers import DataError
from schemas.assignment import Assignment
from schemas.heartbeat import Progress
from schemas.policy import Policy, excess
from schemas.result import Usage
from schemas.states import AssignmentState, Outcome

log = structlog.get_logger(__name__)

T = TypeVar("T")

_CREATE_ATTEMPTS = 3
_AGAIN = wait_random_exponential(multiplier=0.5, max=5)
_STOP_AGAIN_S = 1.0
_LOOK_AT_OUTPUTS_S = 1.0
_LOOKING_SHARE = 0.05
"""Of a thread's time, at most, for looking at what one container writes."""


class _Cancelled(Exception):
    """While its image or files were on their way."""


class _NotAllowed(Exception):
    """By the owner of this giver; others may allow it."""


class Execution:
    """Runs once. Its container is left in place: it goes only when the result is written down."""

    def __init__(
        self,
        assignment: Assignment,
        engine: Engine,
        data: Data,
        settings: GiverSettings,
        on_state: Callable[[str, AssignmentState], None],
        on_progress: Callable[[str, Progress], None],
        container: Container | None = None,
        gpus: tuple[int, ...] = (),
        frozen_s: Callable[[float], float] = lambda _: 0.0,
        policy: Policy = Policy(),
    ) -> None:
        """
        Args:
            container: one that is there already from an earlier start of this giver.
            gpus: the numbers of those set aside for it.
            frozen_s: seconds that it stood still since a time in seconds since the epoch.
        """
        self.assignment = assignment
        self.container = container
        self._engine = engine
        self._data = data
        self._settings = settings
        self._on_state = on_state
        self._on_progress = on_progress
        self._gpus = gpus
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._ended_by: EndedBy | None = None
        self._moving: asyncio.Future[Any] | None = None
        """An image or files, to here or from here."""
        self._running = False
        self._overfull = ""
        """In what way it left more than it may."""
        self._deadline = Deadline(self._loop, lambda: self._end(EndedBy.TIMEOUT))
        self._frost = Frost(engine, self._deadline, frozen=None if container else False)
        self._frozen_s = frozen_s
        disk_bytes = assignment.container.resources.disk_bytes
        self._quota = DiskQuota(engine, disk_bytes, self._overfills)
        self._stopping: asyncio.Task[None] | None = None
        self._interrupted = False
        self._away_since: float | None = None

    @property
    def running(self) -> bool:
        """Its container was started."""
        return self._running

    async def run(self) -> Finding:
        """Never raises for what Docker or the task does; being cancelled leaves all as it is."""
        try:
            return await self._run()
        except _Cancelled:
            return CANCELLED_BEFORE_START
        except ImageUnusable as error:
            return Finding(outcome=Outcome.IMAGE_ERROR, reason=str(error))
        except CommandNotRunnable as error:
            return Finding(
                outcome=Outcome.FAILED,
                exit_code=error.exit_code,
                reason=f"the command cannot be run: {error}",
            )
        except RequestRefused as error:
            # Docker will not have it so, whichever giver asks: as `docker run` says it.
            return Finding(outcome=Outcome.FAILED, exit_code=125, reason=str(error))
        except (EngineError, DataError, _NotAllowed) as error:
            return Finding(outcome=Outcome.INFRASTRUCTURE_ERROR, reason=str(error))
        finally:
            self._deadline.cancel()
            self._frost.close()
            self._quota.close()
            if self._stopping is not None:
                self._stopping.cancel()

    def cancel(self) -> None:
        """Somebody no longer wants it: kill what runs, start nothing."""
        self._end(EndedBy.CANCEL)
        if self._moving is not None:
            self._moving.cancel()

    def freeze(self) -> None:
        """What runs stands still, and its time with it."""
        self._frost.freeze()

    def thaw(self) -> None:
        self._frost.thaw()

    async def _run(self) -> Finding:
        for attempt in range(1, _CREATE_ATTEMPTS + 1):
            try:
                return await self._attempt()
            except CreateAgain:
                if attempt == _CREATE_ATTEMPTS:
                    raise
                if self.container is not None:
                    await self._engine.remove(self.container)
                    self.container = None
        raise AssertionError("unreachable: the last attempt raises")

    async def _attempt(self) -> Finding:
        reference = self.assignment.container.image
        if self.container is None:
            self._check_allowed()
        image = await self._patiently(lambda: self._engine.find_image(reference))
        if self.container is None:
            image = image or await self._pull()
            self._check_allowed(image.digest)
            plan = await self._plan(image)
            self.container = await self._patiently(lambda: self._engine.create(plan))
        if self._ended_by is not None and self.container.fresh:
            raise _Cancelled
        end, output = await self._follow(self.container)
        if output.exceeded and self._ended_by is None:
            self._ended_by = EndedBy.OUTPUT
        outcome, reason = judge(
            end,
            self._ended_by,
            self._interrupted,
            self.assignment.container,
            self._settings.output_limit,
        )
        if self._ended_by is EndedBy.DISK:
            reason = self._overfull
        finding = Finding(
            outcome=outcome,
            exit_code=end.code,
            reason=reason,
            output=output,
            exact_output=end.exact_output,
            usage=Usage.model_construct(
                wall_s=self._ran_s(end),
                cpu_s=end.cpu_s,
                peak_memory_bytes=end.peak_memory_bytes,
                **end.traffic._asdict(),
                pull_s=image.pull_s if image else None,
            ),
            image_digest=image.digest if image else None,
        )
        return await self._with_files(finding)

    async def _plan(self, image: Image) -> Plan:
        spec = self.assignment.container
        mounts: tuple[Mount, ...] = ()
        if spec.inputs or spec.outputs:
            self._on_state(self.assignment.assignment_id, AssignmentState.PULLING)
            mounts = await self._move(self._data.prepare(self.assignment))
        user = self._data.user if spec.outputs else None
        return Plan(self.assignment.assignment_id, image, spec, self._gpus, mounts, user)

    async def _with_files(self, finding: Finding) -> Finding:
        """With what it left, where that counts."""
        complete = finding.outcome is Outcome.SUCCEEDED
        if not (complete or finding.outcome is Outcome.FAILED):
            return finding
        if not self.assignment.container.outputs:
            return finding
        try:
            files = await self._move(self._data.collect(self.assignment, complete))
        except _Cancelled:
            return replace(finding, outcome=Outcome.CANCELLED, reason="cancelled after it ran")
        except OutputsMissing as error:
            return replace(finding, outcome=Outcome.FAILED, reason=str(error))
        except TreeRefused as error:
            return replace(finding, outcome=Outcome.OUTPUT_LIMIT, reason=f"/out {error}")
        except DataError as error:
            return replace(finding, outcome=Outcome.INFRASTRUCTURE_ERROR, reason=str(error))
        return replace(finding, files=files)

    def _check_allowed(self, digest: str | None = None) -> None:
        """The intake did, but a restart may have brought another policy, and a pull the digest."""
        over = excess(self._policy, self.assignment.container, digest)
        if over is not None:
            raise _NotAllowed(f"the giver's owner {over.reason}")

    def _ran_s(self, end: Exit) -> float | None:
        """The time that it stood still is nobody's measure of speed."""
        if end.wall_s is None:
            return None
        return max(0.0, end.wall_s - self._frozen_s(time.time() - end.wall_s))

    async def _pull(self) -> Image:
        spec = self.assignment.container
        self._on_state(self.assignment.assignment_id, AssignmentState.PULLING)
        return await self._move(self._engine.pull_image(spec.image, spec.registry_auth))

    async def _move(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Raises:
            _Cancelled: nobody wants the assignment any more.
        """
        self._moving = moving = asyncio.ensure_future(work)
        try:
            return await moving
        except asyncio.CancelledError:
            if self._ended_by is EndedBy.CANCEL and not _being_cancelled():
                raise _Cancelled from None
            raise
        finally:
            self._moving = None

    async def _follow(self, container: Container) -> tuple[Exit, Output]:
        if not self.assignment.container.outputs:
            return await self._follow_patiently(container)
        looking = asyncio.create_task(self._look_at_outputs())
        try:
            return await self._follow_patiently(container)
        finally:
            looking.cancel()

    async def _look_at_outputs(self) -> None:
        """Until it leaves more than it may."""
        while True:
            began = self._loop.time()
            try:
                await asyncio.to_thread(self._data.check_size, self.assignment)
            except TreeRefused as error:
                return self._overfills(f"/out {error}")
            except OSError as error:
                log.warning("outputs_not_seen", reason=str(error))
            took = self._loop.time() - began
            await asyncio.sleep(max(_LOOK_AT_OUTPUTS_S, took / _LOOKING_SHARE))

    async def _follow_patiently(self, container: Container) -> tuple[Exit, Output]:
        """Through absences of Docker, as long as patience lasts."""
        while True:
            output = new_output(
                self._settings.output_limit,
                self._output_exceeded,
                ProgressLines(self._progressed),
            )
            try:
                return await self._engine.follow(container, output, self._started), output
            except EngineUnavailable as error:
                now = self._loop.time()
                if self._away_since is None:
                    self._away_since = now
                    log.warning(
                        "container_out_of_sight",
                        assignment_id=container.assignment_id,
                        reason=str(error),
                    )
                if now - self._away_since > self._settings.docker_patience_s:
                    raise
            self._interrupted = True
            container = replace(container, fresh=False)
            await asyncio.sleep(_STOP_AGAIN_S)

    def _overfills(self, reason: str) -> None:
        self._overfull = reason
        self._end(EndedBy.DISK)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except EngineUnavailable:
            if self._settings.docker_patience_s == 0:
                raise
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(EngineUnavailable),
            stop=stop_after_delay(self._settings.docker_patience_s),
            wait=_AGAIN,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await call()
        raise AssertionError("unreachable: the retries end with an error")

    def _started(self, elapsed_s: float) -> None:
        self._call_on_loop(lambda: self._on_started(elapsed_s))

    def _progressed(self, progress: Progress) -> None:
        self._call_on_loop(lambda: self._on_progress(self.assignment.assignment_id, progress))

    def _output_exceeded(self) -> None:
        self._call_on_loop(lambda: self._end(EndedBy.OUTPUT))

    def _call_on_loop(self, call: Callable[[], None]) -> None:
        if threading.get_ident() == self._loop_thread:
            call()
            return
        with contextlib.suppress(RuntimeError):  # The loop is closed: the giver has stopped.
            self._loop.call_soon_threadsafe(call)

    def _on_started(self, elapsed_s: float) -> None:
        self._away_since = None
        self._running = True
        self._on_state(self.assignment.assignment_id, AssignmentState.RUNNING)
        if not self._deadline.running and self.container is not None:
            ran_s = elapsed_s - self._frozen_s(time.time() - elapsed_s)
            self._deadline.start(max(0.0, self.assignment.container.timeout_s - ran_s))
            self._frost.started(self.container)
            if self.assignment.container.grants.writable_root:
                self._quota.start(self.container)
        if self._ended_by is not None:
            self._ensure_stopping()

    def _end(self, cause: EndedBy) -> None:
        if self._ended_by is None:
            self._ended_by = cause
        if self._running:
            self._ensure_stopping()

    def _ensure_stopping(self) -> None:
        if self._stopping is None and self.container is not None:
            self._stopping = asyncio.create_task(self._stop(self.container))

    async def _stop(self, container: Container) -> None:
        """Until Docker has done it; cancelled once the container has ended."""
        # While its owner wants all to stand still, it gets no time to say goodbye.
        at_once = self._ended_by in (EndedBy.OUTPUT, EndedBy.DISK) or self._frost.wanted
        grace_s = 0 if at_once else self._settings.stop_grace_s
        while True:
            try:
                await self._frost.melt()
                return await self._engine.stop(container, grace_s)
            except EngineError as error:
                log.warning(
                    "container_not_stopped",
                    assignment_id=container.assignment_id,
                    reason=str(error),
                )
            await asyncio.sleep(_STOP_AGAIN_S)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
