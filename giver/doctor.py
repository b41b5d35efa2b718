"""`giver doctor`: whether this host can do what a giver needs, and what to do where it cannot."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from broker import BrokerUnreachable, Link
from giver import policy_file, registries
from giver.data import Data
from giver.docker_engine import DockerEngine
from giver.engine import EngineError, EngineFacts
from giver.execution import Execution
from giver.host import data_folder
from giver.parent_cgroup import Parent
from giver.policy import DOCUMENTED, NO_POLICY
from giver.policy_file import PolicyInForce
from giver.settings import GiverSettings
from runtime.settings import SettingsError
from schemas.assignment import Assignment
from schemas.identifiers import assignment_id, new_job_id, new_session, task_id
from schemas.job import ContainerSpec
from schemas.states import Outcome

_BROKER_S = 5.0
_RUN_S = 30.0
_LEAST_DISK = 1 << 30
_TIME_ERROR = 5
"""What adjtimex(2) says of a clock that nobody sets."""
_TIMEX_BYTES = 512

DOCKER_REMEDY = (
    "see that the daemon runs (systemctl status docker) and that GIVER_DOCKER_HOST or DOCKER_HOST "
    "name its socket"
)
RIGHTS_REMEDY = "add this user to the group docker (usermod -aG docker USER) and log in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    verdict: Literal["ok", "warning", "failed"]
    found: str
    remedy: str = ""

    def as_document(self) -> dict[str, Any]:
        return asdict(self)


class Doctor:
    """Looks, but changes nothing: its one container goes again."""

    def __init__(self, settings: GiverSettings, image: str | None) -> None:
        """`image`: for the test container; `None`: the first that is on the host."""
        self._settings = settings
        self._image = image
        self._policy_error = ""
        try:
            self._policy = policy_file.read(settings.policy, settings.state_dir)
        except SettingsError as error:
            self._policy_error = str(error)
            self._policy = PolicyInForce(NO_POLICY, "")
        # A name of its own, so that a giver at work does not take the container for a leftover.
        self._engine = DockerEngine(f"doctor-{new_session()}", settings, self._policy.policy)

    async def checks(self) -> AsyncIterator[Check]:
        yield self._state_folder()
        yield self._policy_check()
        yield self._registries()
        yield clock()
        yield await self._broker()
        facts, docker = await self._docker()
        yield docker
        yield self._disk(facts)
        if facts is not None:
            yield await self._limits()
            yield together(facts.parent)
            yield await self._grants()
            yield await self._container()
        await self._engine.close()

    def _state_folder(self) -> Check:
        folder = self._settings.state_dir
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = folder / "doctor"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            return Check(
                name="state folder",
                verdict="failed",
                found=f"{folder} cannot be written ({error.strerror})",
                remedy="name a folder of your own with GIVER_STATE_DIR, or run this as the "
                "giver's user",
            )
        return Check(name="state folder", verdict="ok", found=str(folder))

    def _policy_check(self) -> Check:
        if self._policy_error:
            return Check(
                name="policy",
                verdict="failed",
                found=self._policy_error,
                remedy=f"mend the file: the giver does not start with it; see {DOCUMENTED}",
            )
        return Check(name="policy", verdict="ok", found=self._policy.source)

    def _registries(self) -> Check:
        try:
            names = registries.known(self._settings.docker_config)
        except SettingsError as error:
            return Check(
                name="registries",
                verdict="failed",
                found=str(error),
                remedy="log in again with `docker login REGISTRY` as the giver's user, or name a "
                "file with GIVER_DOCKER_CONFIG",
            )
        found = f"credentials for {', '.join(names)}" if names else "no credentials: public ones"
        return Check(name="registries", verdict="ok", found=found)

    async def _broker(self) -> Check:
        try:
            link = Link(self._settings.broker_url, name="giver doctor")
            await link.start(timeout_s=_BROKER_S)
        except (BrokerUnreachable, SettingsError) as error:
            return Check(
                name="broker",
                verdict="failed",
                found=str(error),
                remedy="see that RabbitMQ runs there and takes these credentials, or mend "
                "GIVER_BROKER_URL",
            )
        user = link.user
        await link.stop()
        return Check(name="broker", verdict="ok", found=f"takes the user {user}")

    async def _docker(self) -> tuple[EngineFacts | None, Check]:
        try:
            facts = await self._engine.probe()
        except EngineError as error:
            denied = "ermission denied" in str(error)
            remedy = RIGHTS_REMEDY if denied else DOCKER_REMEDY
            return None, Check(name="docker", verdict="failed", found=str(error), remedy=remedy)
        platform = f"{facts.platform.os}/{facts.platform.architecture}"
        return facts, Check(name="docker", verdict="ok", found=f"{facts.version}, {platform}")

    def _disk(self, facts: EngineFacts | None) -> Check:
        return disk(data_folder(self._settings, facts), int(self._settings.min_free_disk or 0))

    async def _limits(self) -> Check:
        try:
            missing = await self._engine.missing_limits()
        except EngineError as error:
            return Check(name="limits", verdict="failed", found=str(error), remedy=DOCKER_REMEDY)
        return limits(missing)

    async def _grants(self) -> Check:
        try:
            missing = await self._engine.missing_grants()
        except EngineError as error:
            return Check(name="grants", verdict="failed", found=str(error), remedy=DOCKER_REMEDY)
        return grants(missing)

    async def _container(self) -> Check:
        try:
            image = self._image or next(iter(sorted(await self._engine.images())), None)
        except EngineError as error:
            return Check(name="container", verdict="failed", found=str(error), remedy=DOCKER_REMEDY)
        if image is None:
            return Check(
                name="container",
                verdict="warning",
                found="not tried: there is no image on this host",
                remedy="name one that can be pulled, e.g. --image busybox",
            )
        task = task_id(new_job_id(), 0)
        data = Data(self._settings)
        execution = Execution(
            Assignment(
                assignment_id=assignment_id(task, 1),
                task_id=task,
                job_id=task.partition("-")[0],
                container=ContainerSpec(image=image, command=("true",), timeout_s=_RUN_S),
            ),
            self._engine,
            data,
            self._settings.model_copy(update={"docker_patience_s": 0}),
            on_state=lambda *_: None,
            on_progress=lambda *_: None,
        )
        finding = await execution.run()
        if execution.container is not None:
            await self._engine.remove(execution.container)
        await data.close()
        if finding.outcome is Outcome.SUCCEEDED:
            return Check(name="container", verdict="ok", found=f"`true` ran in {image}")
        if finding.exit_code in (126, 127):
            return Check(
                name="container",
                verdict="ok",
                found=f"one of {image} was started; it has no `true` to run",
            )
        return Check(
            name="container",
            verdict="failed",
            found=f"`true` in {image}: {finding.reason}",
            remedy="try `docker run --rm` with another image, or name one with --image; if none "
            "runs, `journalctl -u docker` says more",
        )


def disk(folder: Path, least: int) -> Check:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(
            name="disk", verdict="warning", found=f"{folder}: {error.strerror}", remedy="look there"
        )
    found = f"{free / (1 << 30):.1f} GiB free in {folder}"
    if free < max(least, _LEAST_DISK):
        remedy = "free some, e.g. images that nobody needs, or move Docker's data"
        return Check(name="disk", verdict="failed", found=found, remedy=remedy)
    return Check(name="disk", verdict="ok", found=found)


def limits(missing: tuple[str, ...]) -> Check:
    """`missing`: what this Docker cannot limit."""
    if not missing:
        return Check(name="limits", verdict="ok", found="memory, swap, CPUs and processes")
    vital = set(missing) - {"swap"}
    return Check(
        name="limits",
        verdict="failed" if vital else "warning",
        found=f"Docker cannot limit {', '.join(missing)}",
        remedy="enable these cgroup controllers; on Debian and Ubuntu boot the kernel with "
        "cgroup_enable=memory swapaccount=1",
    )


def together(parent: Parent) -> Check:
    """Of the control group that all tasks are in."""
    if parent.problem:
        return Check(
            name="limits of all tasks",
            verdict="failed",
            found=parent.problem,
            remedy=parent.remedy,
        )
    found = f"by the control group {parent.name}" if parent.name else "none beyond each task's own"
    if parent.ours:
        found = "a control group of the giver's own can be made"
    return Check(name="limits of all tasks", verdict="ok", found=found)


def grants(missing: tuple[str, ...]) -> Check:
    """`missing`: what the owner's policy grants and this Docker has not."""
    if not missing:
        return Check(name="grants", verdict="ok", found="Docker has all that the policy grants")
    return Check(
        name="grants",
        verdict="failed",
        found=f"the policy grants {', '.join(missing)}, which Docker does not have",
        remedy="take it out of the policy; or make a network with `docker network create --opt "
        "com.docker.network.bridge.enable_icc=false NAME`, and name a runtime under `runtimes` in "
        "/etc/docker/daemon.json",
    )


def clock() -> Check:
    """No clock of a giver's decides anything, so a wrong one is only told of."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        state = -1
    if state == _TIME_ERROR:
        return Check(
            name="clock",
            verdict="warning",
            found="nothing keeps it right",
            remedy="enable systemd-timesyncd or chrony: hours and the times in logs go by it",
        )
    known = "synchronised" if state >= 0 else "cannot be told"
    return Check(name="clock", verdict="ok", found=known)


async def examine(settings: GiverSettings, image: str | None) -> list[Check]:
    return [check async for check in Doctor(settings, image).checks()]
