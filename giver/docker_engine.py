"""The `Engine` on docker-py: blocking calls in worker threads, each with a deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from docker.errors import APIError, NotFound

from giver import parent_cgroup
from giver.docker_client import DockerClients
from giver.docker_errors import explanation, status, translated
from giver.docker_follow import Followers
from giver.docker_images import DockerImages
from giver.docker_tail import DockerTail
from giver.engine import (
    NOTHING_WRITTEN,
    Container,
    CreateAgain,
    EngineFacts,
    Exit,
    Image,
    NameTaken,
    Plan,
    Written,
)
from giver.hardening import (
    ASSIGNMENT_LABEL,
    GIVER_LABEL,
    GPUS_LABEL,
    container_config,
    container_name,
)
from giver.output import Output, Sink
from giver.parent_cgroup import NO_PARENT, Parent, Wanted
from giver.policy import NO_NETWORK, NO_POLICY, OwnersPolicy
from giver.pulled_images import PulledImages
from giver.settings import GiverSettings
from giver.workers import Workers
from schemas.heartbeat import Platform, Pull
from schemas.job import RegistryAuth

log = structlog.get_logger(__name__)

_CALL_THREADS = 16
_STOP_THREADS = 32
_TAIL_THREADS = 64
_FOLLOW_THREADS = 20_000
"""As many as containers: each one that runs is followed by a thread that mostly sleeps."""


class DockerEngine:
    """Containers of one giver on one Docker."""

    def __init__(
        self,
        giver_id: str,
        settings: GiverSettings,
        policy: OwnersPolicy = NO_POLICY,
        pulled: PulledImages | None = None,
    ) -> None:
        """`pulled`: to note what is pulled and used."""
        self._giver_id = giver_id
        self._settings = settings
        self._policy = policy
        self._client = DockerClients(settings)
        self._calls = Workers("docker", _CALL_THREADS)
        self._probes = Workers("docker-probe", 1)
        self._stopping = Workers("docker-stop", _STOP_THREADS)
        self._following = Workers("docker-follow", _FOLLOW_THREADS)
        self._tailing = Workers("docker-tail", _TAIL_THREADS)
        self._followers = Followers(on_init_missing=self._do_without_init)
        self._images = DockerImages(settings, self._client, self._calls, pulled)
        self._init = True
        self._host_cpus: float | None = None
        self._root_dir: str | None = None
        self._parent = NO_PARENT

    async def probe(self) -> EngineFacts:
        return await self._probes.run(self._probe)

    async def missing_limits(self) -> tuple[str, ...]:
        """What this Docker cannot limit: `memory`, `swap`, `CPUs`, `processes`."""
        return await self._calls.run(self._missing_limits)

    async def missing_grants(self) -> tuple[str, ...]:
        """What the owner's policy grants and this Docker has not, e.g. `runtime runsc`."""
        return await self._calls.run(self._missing_grants)

    async def images(self) -> Sequence[str]:
        return await self._images.references()

    async def find_image(self, reference: str) -> Image | None:
        return await self._images.find(reference)

    async def pull_image(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        return await self._images.pull(reference, auth)

    def pulls(self) -> Sequence[Pull]:
        return self._images.pulls()

    async def remove_image(self, reference: str, image_id: str) -> bool:
        return await self._images.remove(reference, image_id)

    async def create(self, plan: Plan) -> Container:
        self._images.used(plan.spec.image)
        try:
            return await self._calls.run(lambda: self._create(plan))
        except CreateAgain:
            self._images.forget(plan.spec.image)
            raise

    async def follow(
        self, container: Container, output: Output, started: Callable[[float], None]
    ) -> Exit:
        def work() -> Exit:
            with translated("follow the container"):
                return self._followers.follow(
                    self._client(),
                    container,
                    output,
                    started,
                    self._parent.name,
                    self._settings.output_limit,
                )

        return await self._following.run(work)

    async def stop(self, container: Container, grace_s: int) -> None:
        await self._stopping.run(lambda: self._stop(container.id, grace_s))

    def tail(self, container: Container, lines: int, follow: bool, sink: Sink) -> DockerTail:
        return DockerTail(self._tailing, self._client, container.id, lines, follow, sink)

    async def written(self, container: Container, most_entries: int) -> Written | None:
        return await self._calls.run(lambda: self._written(container.id, most_entries))

    async def pause(self, container: Container) -> None:
        await self._calls.run(lambda: self._pause(container.id))

    async def resume(self, container: Container) -> None:
        await self._calls.run(lambda: self._resume(container.id))

    async def remove(self, container: Container) -> None:
        await self._calls.run(lambda: self._remove(container.id))

    async def owned(self) -> Sequence[Container]:
        return await self._calls.run(self._owned)

    async def close(self) -> None:
        self._images.close()
        self._followers.close()
        for workers in (
            self._calls,
            self._probes,
            self._stopping,
            self._following,
            self._tailing,
        ):
            workers.close()
        self._client.close()
        parent_cgroup.remove(self._parent)

    def _do_without_init(self) -> None:
        log.warning("init_missing", reason="Docker has no docker-init: containers run without it")
        self._init = False

    # Everything below runs in worker threads.

    def _probe(self) -> EngineFacts:
        client = self._client(self._settings.docker_check_deadline_s)
        with translated("tell of itself"):
            version = client.version()
            if self._host_cpus is None:
                info = client.info()
                self._host_cpus = float(info["NCPU"])
                self._root_dir = info.get("DockerRootDir")
                self._parent = self._establish_parent(info.get("CgroupDriver") or "")
        return EngineFacts(
            version=version["Version"],
            platform=Platform(os=version["Os"], architecture=version["Arch"]),
            root_dir=self._root_dir,
            parent=self._parent,
        )

    def _establish_parent(self, driver: str) -> Parent:
        settings, host = self._settings, self._policy.host
        wanted = Wanted(
            name=settings.cgroup_parent,
            cpus=host.cpus,
            memory_bytes=None if host.memory is None else int(host.memory),
            measured=settings.idle_cpu is not None,
        )
        return parent_cgroup.establish(wanted, self._giver_id, driver)

    def _missing_limits(self) -> tuple[str, ...]:
        with translated("tell of itself"):
            info = self._client().info()
        named = {
            "memory": "MemoryLimit",
            "swap": "SwapLimit",
            "CPUs": "CpuCfsQuota",
            "processes": "PidsLimit",
        }
        return tuple(name for name, field in named.items() if not info.get(field))

    def _missing_grants(self) -> tuple[str, ...]:
        granted = self._policy.grants
        with translated("tell of its networks and runtimes"):
            client = self._client()
            networks = {NO_NETWORK, *(network["Name"] for network in client.networks())}
            runtimes = client.info().get("Runtimes") or {}
        missing = [] if granted.network in networks else [f"network {granted.network}"]
        missing += [f"runtime {name}" for name in granted.runtimes if name not in runtimes]
        return tuple(missing)

    def _create(self, plan: Plan) -> Container:
        name = container_name(self._giver_id, plan.assignment_id)
        config = container_config(
            self._giver_id,
            plan,
            init=self._init,
            host_cpus=self._host_cpus,
            log_bytes=self._settings.output_limit,
            network=self._policy.grants.network,
            cgroup_parent=self._parent.name,
        )
        client = self._client()
        with translated("create the container"):
            try:
                made = client.create_container_from_config(config, name)
            except NotFound as error:
                raise CreateAgain(
                    f"image {plan.spec.image} was removed meanwhile: {explanation(error)}"
                ) from error
            except APIError as error:
                if status(error) != 409:
                    raise
                return self._adopt(client, name, plan.assignment_id)
        return Container(id=made["Id"], assignment_id=plan.assignment_id)

    def _adopt(self, client: Any, name: str, assignment_id: str) -> Container:
        try:
            found = client.inspect_container(name)
        except NotFound as error:
            raise CreateAgain(f"container {name} was just being removed") from error
        labels = found["Config"].get("Labels") or {}
        if (labels.get(GIVER_LABEL), labels.get(ASSIGNMENT_LABEL)) != (
            self._giver_id,
            assignment_id,
        ):
            raise NameTaken(
                f"container name {name} is taken by {found['Id'][:12]}, which this giver did not "
                f"make: remove it with `docker rm -f {name}`"
            )
        return Container(
            id=found["Id"],
            assignment_id=assignment_id,
            fresh=found["State"]["Status"] == "created",
        )

    def _stop(self, container_id: str, grace_s: int) -> None:
        with translated("stop the container"):
            try:
                if grace_s > 0:
                    self._client().stop(container_id, timeout=grace_s)
                else:
                    self._client().kill(container_id)
            except NotFound:
                return
            except APIError as error:
                if status(error) != 409:  # 409: it does not run.
                    raise

    def _written(self, container_id: str, most_entries: int) -> Written | None:
        with translated("measure the container"):
            client = self._client()
            listed = client.containers(size=True, filters={"id": container_id})
            if not listed:
                return NOTHING_WRITTEN
            size_bytes = int(listed[0].get("SizeRw") or 0)
            if size_bytes < 0:  # Docker failed at it, e.g. at a tree too deep for its paths.
                return None
            try:
                return Written(size_bytes, client.count_changes(container_id, most_entries))
            except NotFound:
                return NOTHING_WRITTEN
            except APIError:
                return None

    def _pause(self, container_id: str) -> None:
        with translated("pause the container"):
            try:
                self._client().pause(container_id)
            except NotFound:
                return
            except APIError as error:
                if status(error) != 409:  # 409: it is paused, or does not run.
                    raise

    def _resume(self, container_id: str) -> None:
        with translated("resume the container"):
            try:
                self._client().unpause(container_id)
            except NotFound:
                return
            except APIError as error:
                # Docker says 500 of one that is not paused.
                if status(error) != 409 and "is not paused" not in explanation(error):
                    raise

    def _remove(self, container_id: str) -> None:
        with translated("remove the container"):
            try:
                self._client().remove_container(container_id, v=True, force=True)
            except NotFound:
                return
            except APIError as error:
                if status(error) != 409:  # 409: it is being removed.
                    raise

    def _owned(self) -> list[Container]:
        with translated("list containers"):
            listed = self._client().containers(
                all=True, filters={"label": f"{GIVER_LABEL}={self._giver_id}"}
            )
        found = []
        for item in listed:
            labels = item["Labels"]
            assignment_id = labels.get(ASSIGNMENT_LABEL, "")
            # An image may have such labels, too, whoever runs it.
            if f"/{container_name(self._giver_id, assignment_id)}" not in (item["Names"] or ()):
                continue
            numbers = labels.get(GPUS_LABEL, "").split(",")
            found.append(
                Container(
                    id=item["Id"],
                    assignment_id=assignment_id,
                    created_at=float(item["Created"]),
                    fresh=item["State"] == "created",
                    gpus=tuple(int(number) for number in numbers if number.isdecimal()),
                )
            )
        return found
