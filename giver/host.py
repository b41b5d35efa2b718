"""What the host has to give, where the configuration does not say."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from pathlib import Path

from giver.engine import EngineFacts
from giver.policy import NO_POLICY, OwnersPolicy
from giver.settings import GiverSettings
from schemas.heartbeat import Capacity, Platform

_CONTAINERS_PER_CPU = 4
_MIN_CONTAINERS = 8
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""As Docker says it."""


def capacity(
    settings: GiverSettings, facts: EngineFacts | None, policy: OwnersPolicy = NO_POLICY
) -> Capacity:
    """`facts`: tell where Docker keeps its data; without them the state folder's disk counts."""
    cpus = settings.cpus or float(os.cpu_count() or 1)
    memory = int(settings.memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if settings.disk is None:
        disk = shutil.disk_usage(data_folder(settings, facts)).free
    else:
        disk = int(settings.disk)
    containers = settings.containers or max(int(_CONTAINERS_PER_CPU * cpus), _MIN_CONTAINERS)
    has = Capacity(
        cpus=cpus,
        memory_bytes=memory,
        disk_bytes=disk,
        gpus=settings.gpus,
        containers=containers,
    )
    return policy.cap(has)


def backlog(settings: GiverSettings, has: Capacity) -> int:
    return has.containers if settings.backlog is None else settings.backlog


def host_platform() -> Platform:
    """Until Docker tells its own."""
    machine = platform.machine()
    return Platform(os=platform.system().lower(), architecture=_ARCHITECTURES.get(machine, machine))


def data_folder(settings: GiverSettings, facts: EngineFacts | None) -> Path:
    if facts is not None and facts.root_dir is not None:
        # A giver that is not root may not be allowed to look there.
        with contextlib.suppress(PermissionError):
            if Path(facts.root_dir).is_dir():
                return Path(facts.root_dir)
    return settings.state_dir
