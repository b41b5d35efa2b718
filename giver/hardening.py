"""The container that a task gets: as little as possible. Pure.

All capabilities dropped, no new privileges, Docker's default seccomp profile, a read-only root
with a sized `/tmp`, a user other than root, limits on processes, memory (swap included) and CPUs,
no network, an init that reaps and passes signals on, a capped log. Of the host it sees the folders
made for it: `/in`, read-only, and `/out`. What it asks for beyond that is granted here, as the
policy of the giver's owner was asked before.
"""

from __future__ import annotations

from typing import Any

from giver.engine import Plan
from schemas.job import Grants

GIVER_LABEL = "seekgive.giver"
ASSIGNMENT_LABEL = "seekgive.assignment"
GPUS_LABEL = "seekgive.gpus"
"""Numbers with commas between them; for a giver that starts again."""

_NOBODY = "65534:65534"
_ROOT = "0:0"
_ROOT_USERS = ("", "0", "root")
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
    """
    spec = plan.spec
    resources = spec.resources
    cpus = max(_MIN_CPUS, min(resources.cpus, host_cpus or resources.cpus))
    tmp_bytes = max(_MIN_TMP_BYTES, min(resources.disk_bytes, resources.memory_bytes // 2))
    config: dict[str, Any] = {
        "Image": plan.image.id,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "User": plan.user or _user(plan.image.user, spec.grants),
        "Labels": {GIVER_LABEL: giver_id, ASSIGNMENT_LABEL: plan.assignment_id},
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": True,
        "HostConfig": {
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": f"rw,nosuid,nodev,noexec,mode=1777,size={tmp_bytes}"},  # noqa: S108
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
        numbers = [str(number) for number in plan.gpus]
        config["Labels"][GPUS_LABEL] = ",".join(numbers)
        config["HostConfig"]["DeviceRequests"] = [
            {"Driver": "", "DeviceIDs": numbers, "Capabilities": [["gpu"]]}
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


def _user(image_user: str, grants: Grants) -> str:
    """The image's own user unless that is root.

    The kernel gives capabilities to root only, and a root file system belongs to root.
    """
    if grants.capabilities:
        return _ROOT
    if grants.writable_root:
        return image_user
    return _NOBODY if image_user.partition(":")[0] in _ROOT_USERS else image_user
