"""The `Engine` on docker-py: blocking calls in worker threads, each with a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import requests
import structlog
from docker import APIClient
from docker.errors import (
    APIError,
    DockerException,
    NotFound,
    create_api_error_from_http_exception,
)
from docker.utils import kwargs_from_env
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from giver import parent_cgroup, registries
from giver.docker_errors import explanation, pull_error, status, translated
from giver.docker_follow import Followers
from giver.docker_tail import DockerTail
from giver.engine import (
    NOTHING_WRITTEN,
    Container,
    CreateAgain,
    EngineFacts,
    EngineFailed,
    EngineUnavailable,
    Exit,
    Image,
    ImageUnusable,
    NameTaken,
    Plan,
    PullInterrupted,
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
from giver.pull_progress import PullProgress
from giver.pulled_images import PulledImages
from giver.settings import GiverSettings
from giver.workers import Workers
from schemas.heartbeat import Platform, Pull
from schemas.job import RegistryAuth

log = structlog.get_logger(__name__)

_CALL_THREADS = 16
_PULL_THREADS = 4
_STOP_THREADS = 32
_TAIL_THREADS = 64
_FOLLOW_THREADS = 20_000
"""As many as containers: each one that runs is followed by a thread that mostly sleeps."""


_CHANGE = b'"Kind":'
"""Once in each of those that Docker lists, and in no name, where quotes are escaped."""


class _Wish(NamedTuple):
    """An image, and in whose name it is pulled; `None`: the owner's."""

    reference: str
    auth: RegistryAuth | None


class _Client(APIClient):
    """Gives every request a deadline, also those for which docker-py sets none."""

    def request(self, method: str, url: str, **arguments: Any) -> Any:  # type: ignore[override]
        if arguments.get("timeout") is None:
            arguments["timeout"] = self.timeout
        return super().request(method, url, **arguments)

    def count_changes(self, container_id: str, most: int) -> int:
        """How many `diff` would list, without holding them all; not on beyond `most`."""
        found, rest = 0, b""
        url = f"{self.base_url}/v{self.api_version}/containers/{container_id}/changes"
        with self.get(url, stream=True) as response:
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                create_api_error_from_http_exception(error)
            for chunk in response.iter_content(1 << 16):
                text = rest + chunk
                found += text.count(_CHANGE)
                if found > most:
                    break
                rest = text[1 - len(_CHANGE) :]
        return found


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
        self._pulled_images = pulled
        self._threads = threading.local()
        self._clients: list[_Client] = []
        self._calls = Workers("docker", _CALL_THREADS)
        self._probes = Workers("docker-probe", 1)
        self._pulling = Workers("docker-pull", _PULL_THREADS)
        self._stopping = Workers("docker-stop", _STOP_THREADS)
        self._following = Workers("docker-follow", _FOLLOW_THREADS)
        self._tailing = Workers("docker-tail", _TAIL_THREADS)
        self._followers = Followers(on_init_missing=self._do_without_init)
        self._images: dict[str, Image] = {}
        self._pulls: dict[_Wish, asyncio.Task[Image]] = {}
        self._progress: dict[_Wish, PullProgress] = {}
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
        present = await self._calls.run(self._list_images)
        ids = {image["Id"] for image in present}
        tagged = {tag: image["Id"] for image in present for tag in image.get("RepoTags") or ()}
        # A tag may have moved to another image, or the image may be gone.
        self._images = {
            reference: image
            for reference, image in self._images.items()
            if image.id in ids and tagged.get(reference, image.id) == image.id
        }
        return [tag for tag in tagged if tag != "<none>:<none>"]

    async def find_image(self, reference: str) -> Image | None:
        known = self._images.get(reference)
        if known is None:
            known = await self._calls.run(lambda: self._inspect_image(reference))
            if known is not None:
                self._images[reference] = known
        return known

    async def pull_image(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        wish = _Wish(reference, auth)
        pull = self._pulls.get(wish)
        if pull is None:
            pull = asyncio.create_task(self._pull(wish), name=f"pull {reference}")
            self._pulls[wish] = pull
            pull.add_done_callback(lambda done: self._pulled(wish, done))
        return await asyncio.shield(pull)

    def pulls(self) -> Sequence[Pull]:
        return [progress.told() for progress in self._progress.values()]

    async def remove_image(self, reference: str, image_id: str) -> bool:
        self._images.pop(reference, None)
        return await self._calls.run(lambda: self._remove_image(reference, image_id))

    async def create(self, plan: Plan) -> Container:
        if self._pulled_images is not None:
            self._pulled_images.used(plan.spec.image)
        try:
            return await self._calls.run(lambda: self._create(plan))
        except CreateAgain:
            self._images.pop(plan.spec.image, None)
            raise

    async def follow(
        self, container: Container, output: Output, started: Callable[[float], None]
    ) -> Exit:
        def work() -> Exit:
            with translated("follow the container"):
                return self._followers.follow(
                    self._client(), container, output, started, self._parent.name
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
        for pull in list(self._pulls.values()):
            pull.cancel()
        self._followers.close()
        for workers in (
            self._calls,
            self._probes,
            self._pulling,
            self._stopping,
            self._following,
            self._tailing,
        ):
            workers.close()
        for client in self._clients:
            client.close()
        parent_cgroup.remove(self._parent)

    async def _pull(self, wish: _Wish) -> Image:
        reference = wish.reference
        began = time.monotonic()
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(PullInterrupted),
            stop=stop_after_attempt(self._settings.pull_attempts),
            wait=wait_random_exponential(multiplier=1, max=10),
            reraise=True,
        )
        log.info("pull_started", image=reference)
        progress = self._progress[wish] = PullProgress(reference)
        before = {image["Id"] for image in await self._calls.run(self._list_images)}
        async for attempt in retrying:
            with attempt:
                await self._pulling.run(lambda: self._pull_once(wish, progress))
        image = await self._calls.run(lambda: self._inspect_image(reference))
        if image is None:
            raise ImageUnusable(f"image {reference} was pulled but is not there")
        pull_s = time.monotonic() - began
        log.info("pull_done", image=reference, seconds=round(pull_s, 3))
        self._images[reference] = image
        if self._pulled_images is not None and image.id not in before:
            self._pulled_images.pulled(reference, image.id)
            await self._calls.run(self._pulled_images.save)
        return Image(id=image.id, digest=image.digest, user=image.user, pull_s=pull_s)

    def _pulled(self, wish: _Wish, pull: asyncio.Task[Image]) -> None:
        del self._pulls[wish]
        self._progress.pop(wish, None)
        if not pull.cancelled() and (error := pull.exception()) is not None:
            log.warning("pull_failed", image=wish.reference, reason=str(error))

    def _do_without_init(self) -> None:
        log.warning("init_missing", reason="Docker has no docker-init: containers run without it")
        self._init = False

    # Everything below runs in worker threads.

    def _client(self, deadline_s: float | None = None) -> Any:
        """This thread's own `_Client`: requests' sessions are not meant to be shared."""
        client: Any = getattr(self._threads, "client", None)
        if client is None:
            arguments = kwargs_from_env()
            if self._settings.docker_host is not None:
                arguments["base_url"] = self._settings.docker_host
            first = deadline_s or self._settings.docker_call_deadline_s
            with translated("open a connection"):
                client = _Client(version="auto", timeout=first, **arguments)  # type: ignore[arg-type]
            self._threads.client = client
            self._clients.append(client)
        client.timeout = deadline_s or self._settings.docker_call_deadline_s
        return client

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

    def _list_images(self) -> list[dict[str, Any]]:
        with translated("list images"):
            listed: list[dict[str, Any]] = self._client().images()
            return listed

    def _inspect_image(self, reference: str) -> Image | None:
        with translated(f"inspect image {reference}"):
            try:
                found = self._client().inspect_image(reference)
            except NotFound:
                return None
            except APIError as error:
                if status(error) == 400:
                    raise ImageUnusable(
                        f"{reference!r} is no image reference: {explanation(error)}"
                    ) from error
                raise
        # An image may have come from several repositories: of those, the one that was asked for.
        digests = found.get("RepoDigests") or []
        digests.sort(key=lambda name: not reference.startswith(name.partition("@")[0]))
        return Image(
            id=found["Id"],
            digest=digests[0] if digests else found["Id"],
            user=(found.get("Config") or {}).get("User") or "",
        )

    def _pull_once(self, wish: _Wish, progress: PullProgress) -> None:
        """
        Raises:
            ImageUnusable, PullInterrupted
            EngineFailed: the owner's credentials cannot be read.
        """
        reference = wish.reference
        client = self._client(self._settings.pull_inactivity_s)
        if wish.auth is None:
            self._log_in(client)
        give_up_at = time.monotonic() + self._settings.pull_deadline_s
        try:
            with translated(f"pull image {reference}"):
                try:
                    auth = registries.docker_auth(wish.auth)
                    for event in client.pull(reference, stream=True, decode=True, auth_config=auth):
                        if "error" in event:
                            raise pull_error(reference, event["error"], 0)
                        progress.feed(event)
                        if time.monotonic() > give_up_at:
                            raise PullInterrupted(
                                f"pulling image {reference} took longer than "
                                f"{self._settings.pull_deadline_s:g} s"
                            )
                except APIError as error:
                    raise pull_error(reference, explanation(error), status(error)) from error
        except EngineUnavailable as error:
            # Silence during a pull is the registry's more often than Docker's.
            raise PullInterrupted(f"pulling image {reference} broke off: {error}") from error

    def _log_in(self, client: Any) -> None:
        """The owner may have logged in to another registry meanwhile."""
        file = self._settings.docker_config
        try:
            client.reload_config(None if file is None else str(file))
        except (DockerException, ValueError) as error:
            raise EngineFailed(f"credentials of registries cannot be read: {error}") from error

    def _remove_image(self, reference: str, image_id: str) -> bool:
        found = self._inspect_image(reference)
        if found is None or found.id != image_id:
            return True
        with translated(f"remove image {reference}"):
            try:
                self._client().remove_image(reference)
            except NotFound:
                return True
            except APIError as error:
                if status(error) != 409:  # 409: a container holds it.
                    raise
                return False
        return True

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
        return [
            Container(
                id=item["Id"],
                assignment_id=item["Labels"].get(ASSIGNMENT_LABEL, ""),
                created_at=float(item["Created"]),
                fresh=item["State"] == "created",
                gpus=tuple(map(int, filter(None, item["Labels"].get(GPUS_LABEL, "").split(",")))),
            )
            for item in listed
        ]
