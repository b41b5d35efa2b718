"""Docker's images: found, pulled once for all who wait, and removed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import structlog
from docker.errors import APIError, DockerException, NotFound
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from giver import registries
from giver.docker_client import DockerClients
from giver.docker_errors import explanation, pull_error, status, translated
from giver.engine import EngineFailed, EngineUnavailable, Image, ImageUnusable, PullInterrupted
from giver.pull_progress import PullProgress
from giver.pulled_images import PulledImages
from giver.settings import GiverSettings
from giver.workers import Workers
from schemas.heartbeat import Pull
from schemas.job import RegistryAuth

log = structlog.get_logger(__name__)

_PULL_THREADS = 4


class _Wish(NamedTuple):
    """An image, and in whose name it is pulled; `None`: the owner's."""

    reference: str
    auth: RegistryAuth | None


class DockerImages:
    """The part of the `Engine` that is about images."""

    def __init__(
        self,
        settings: GiverSettings,
        client: DockerClients,
        calls: Workers,
        pulled: PulledImages | None,
    ) -> None:
        """
        Args:
            calls: where calls run that take a moment only.
            pulled: to note what is pulled and used.
        """
        self._settings = settings
        self._client = client
        self._calls = calls
        self._pulling = Workers("docker-pull", _PULL_THREADS)
        self._noted = pulled
        self._known: dict[str, Image] = {}
        self._pulls: dict[_Wish, asyncio.Task[Image]] = {}
        self._progress: dict[_Wish, PullProgress] = {}

    async def references(self) -> Sequence[str]:
        present = await self._calls.run(self._list)
        ids = {image["Id"] for image in present}
        tagged = {tag: image["Id"] for image in present for tag in image.get("RepoTags") or ()}
        # A tag may have moved to another image, or the image may be gone.
        self._known = {
            reference: image
            for reference, image in self._known.items()
            if image.id in ids and tagged.get(reference, image.id) == image.id
        }
        return [tag for tag in tagged if tag != "<none>:<none>"]

    async def find(self, reference: str) -> Image | None:
        known = self._known.get(reference)
        if known is None:
            known = await self._calls.run(lambda: self._inspect(reference))
            if known is not None:
                self._known[reference] = known
        return known

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        wish = _Wish(reference, auth)
        pull = self._pulls.get(wish)
        if pull is None:
            pull = asyncio.create_task(self._pull(wish), name=f"pull {reference}")
            self._pulls[wish] = pull
            pull.add_done_callback(lambda done: self._pulled(wish, done))
        return await asyncio.shield(pull)

    def pulls(self) -> Sequence[Pull]:
        return [progress.told() for progress in self._progress.values()]

    async def remove(self, reference: str, image_id: str) -> bool:
        self._known.pop(reference, None)
        return await self._calls.run(lambda: self._remove(reference, image_id))

    def used(self, reference: str) -> None:
        """A container is made from it."""
        if self._noted is not None:
            self._noted.used(reference)

    def forget(self, reference: str) -> None:
        """It is not there any more."""
        self._known.pop(reference, None)

    def close(self) -> None:
        for pull in list(self._pulls.values()):
            pull.cancel()
        self._pulling.close()

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
        before = {image["Id"] for image in await self._calls.run(self._list)}
        async for attempt in retrying:
            with attempt:
                await self._pulling.run(lambda: self._pull_once(wish, progress))
        image = await self._calls.run(lambda: self._inspect(reference))
        if image is None:
            raise ImageUnusable(f"image {reference} was pulled but is not there")
        pull_s = time.monotonic() - began
        log.info("pull_done", image=reference, seconds=round(pull_s, 3))
        self._known[reference] = image
        if self._noted is not None and image.id not in before:
            self._noted.pulled(reference, image.id)
            await self._calls.run(self._noted.save)
        return replace(image, pull_s=pull_s)

    def _pulled(self, wish: _Wish, pull: asyncio.Task[Image]) -> None:
        del self._pulls[wish]
        self._progress.pop(wish, None)
        if not pull.cancelled() and (error := pull.exception()) is not None:
            log.warning("pull_failed", image=wish.reference, reason=str(error))

    # Everything below runs in worker threads.

    def _list(self) -> list[dict[str, Any]]:
        with translated("list images"):
            listed: list[dict[str, Any]] = self._client().images()
            return listed

    def _inspect(self, reference: str) -> Image | None:
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
        config = found.get("Config") or {}
        return Image(
            id=found["Id"],
            digest=digests[0] if digests else found["Id"],
            user=config.get("User") or "",
            volumes=tuple(config.get("Volumes") or ()),
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

    def _remove(self, reference: str, image_id: str) -> bool:
        found = self._inspect(reference)
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
