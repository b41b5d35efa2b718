"""The container that a task gets: as little as possible. Pure.

All capabilities dropped, no new privileges, Docker's default seccomp profile, a read-only root
with a sized `/tmp`, a user other than root, limits on processes, memory (swap included) and CPUs,
no network, an init that reaps and passes signals on, a capped log. Of the host it sees the folders
made for it: `/in`, read-only, and `/out`. What it asks for beyond that is granted here, as the
policy of the giver's owner was asked before.

An image asks for things, too: its health check is not run, its volumes are in memory and sized,
its user counts if it is a number, and its labels are not taken for ours.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from giver.engine import ImageUnusable, Plan
from schemas.job import Grants

GIVER_LABEL = "seekgive.giver"
ASSIGNMENT_LABEL = "seekgive.assignment"
GPUS_LABEL = "seekgive.gpus"
"""Numbers with commas between them; for a giver that starts again."""

_NOBODY = "65534:65534"
_ROOT = "0:0"
_OTHER_USER = re.compile(r"([1-9][0-9]{0,8})(?::([1-9][0-9]{0,8}))?")
"""Numbers alone: who has a name is for a file in the image to say."""
_TAKEN = ("in", "out", "dev", "proc", "sys")
"""At the root of every container."""
_MOST_VOLUMES = 16
_MIN_CPUS = 0.01
"""Docker accepts no less."""
_MIN_TMP_BYTES = 64 << 10


def container_name(giver_id: str, assignment_id: str) -> str:
    """The same for the same assignment, so that making it twice is noticed."""
    return f"seekgive-{giver_id}-{assignment_id}"


def container_config(
    giver_id: str,
    plan: Plan,
    *,
    init: bool,
    host_cpus: float | None,
    log_bytes: int,
    network: str = "bridge",
    cgroup_parent: str = "",
) -> dict[str, Any]:
    """The body of Docker's `POST /containers/create`.

    `host_cpus`: Docker refuses more than there are. `log_bytes`: what the log must be able to
    hold, as the output is read from it after a restart of the giver; JSON takes more room than
    the bytes themselves, hence two files. `network`: of those who were granted one.

    Raises:
        ImageUnusable: it wants its volumes where they cannot be.
    """
    spec = plan.spec
    resources = spec.resources
    cpus = max(_MIN_CPUS, min(resources.cpus, host_cpus or resources.cpus))
    tmp_bytes = max(_MIN_TMP_BYTES, min(resources.disk_bytes, resources.memory_bytes // 2))
    config: dict[str, Any] = {
        "Image": plan.image.id,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "User": plan.user or _user(plan.image.user, spec.grants),
        # Each of ours, or the image's own of that name would be taken for it.
        "Labels": {
            GIVER_LABEL: giver_id,
            ASSIGNMENT_LABEL: plan.assignment_id,
            GPUS_LABEL: ",".join(map(str, plan.gpus)),
        },
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": True,
        "HostConfig": {
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Tmpfs": dict.fromkeys(
                ("/tmp", *_volumes(plan)),  # noqa: S108
                f"rw,nosuid,nodev,noexec,mode=1777,size={tmp_bytes}",
            ),
            "PidsLimit": resources.pids,
            "Memory": resources.memory_bytes,
            "MemorySwap": resources.memory_bytes,
            "NanoCpus": round(cpus * 1e9),
            "NetworkMode": "none",
            "IpcMode": "private",
            "Init": init,
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": str(log_bytes), "max-file": "2"},
            },
        },
    }
    if plan.mounts:
        config["HostConfig"]["Mounts"] = [
            {
                "Type": "bind",
                "Source": str(mount.source.absolute()),
                "Target": mount.target,
                "ReadOnly": mount.read_only,
                "BindOptions": {"Propagation": "rprivate"},
            }
            for mount in plan.mounts
        ]
    if spec.outputs or spec.grants.writable_root:
        # One file cannot outgrow what all may take; the sum is looked at while it runs.
        config["HostConfig"]["Ulimits"] = [
            {"Name": "fsize", "Soft": resources.disk_bytes, "Hard": resources.disk_bytes}
        ]
    if plan.gpus:
        config["HostConfig"]["DeviceRequests"] = [
            {"Driver": "", "DeviceIDs": [*map(str, plan.gpus)], "Capabilities": [["gpu"]]}
        ]
    if spec.command:
        config["Cmd"] = list(spec.command)
    if spec.entrypoint:
        config["Entrypoint"] = list(spec.entrypoint)
    if spec.workdir is not None:
        config["WorkingDir"] = spec.workdir
    if cgroup_parent:
        config["HostConfig"]["CgroupParent"] = cgroup_parent
    _grant(config, spec.grants, network)
    return config


def _grant(config: dict[str, Any], grants: Grants, network: str) -> None:
    host = config["HostConfig"]
    if grants.network:
        config["NetworkDisabled"] = False
        host["NetworkMode"] = network
    if grants.capabilities:
        host["CapAdd"] = list(grants.capabilities)
    if grants.writable_root:
        host["ReadonlyRootfs"] = False
    if grants.runtime:
        host["Runtime"] = grants.runtime


def _volumes(plan: Plan) -> set[str]:
    paths = {posixpath.normpath("/" + path.lstrip("/")) for path in plan.image.volumes}
    for path in sorted(paths):
        if path == "/" or path.split("/")[1] in _TAKEN:
            raise ImageUnusable(
                f"image {plan.spec.image} declares a volume at {path}, where a task has something "
                "else: build it without"
            )
    if len(paths) > _MOST_VOLUMES:
        raise ImageUnusable(
            f"image {plan.spec.image} declares {len(paths)} volumes, at most {_MOST_VOLUMES} are "
            "allowed: build it with fewer"
        )
    return paths


def _user(image_user: str, grants: Grants) -> str:
    """The image's own user if that is a number other than root's.

    The kernel gives capabilities to root only, and a root file system belongs to root.
    """
    if grants.capabilities:
        return _ROOT
    if grants.writable_root:
        return image_user
    other = _OTHER_USER.fullmatch(image_user)
    return f"{other[1]}:{other[2] or other[1]}" if other is not None else _NOBODY
