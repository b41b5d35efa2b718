"""The container's configuration, leftovers, Docker's errors, the kernel's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from giver.cgroups import CgroupReader, Traffic
from giver.docker_errors import pull_error, translated
from giver.engine import (
    Container,
    EngineUnavailable,
    Image,
    ImageUnusable,
    Plan,
    PullInterrupted,
)
from giver.hardening import container_config
from giver.reaper import overdue, sort_found
from schemas.assignment import Assignment
from schemas.job import GIB, MIB, ContainerSpec, Grants, Resources

JOB = "01JD0000000000000000000000"


def config(
    user: str = "", host_cpus: float | None = 2.0, volumes: tuple[str, ...] = (), **spec: Any
) -> dict[str, Any]:
    image = Image("sha256:1", None, user, volumes)
    plan = Plan("a", image, ContainerSpec(image="i:1", **spec))
    return container_config("g", plan, init=True, host_cpus=host_cpus, log_bytes=100)


def test_a_container_is_hardened() -> None:
    host = config(resources=Resources(cpus=1.5, memory_bytes=64 * MIB, pids=7))["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert host["NetworkMode"] == "none"
    assert host["Memory"] == host["MemorySwap"] == 64 * MIB
    assert host["NanoCpus"] == 1_500_000_000
    assert host["PidsLimit"] == 7
    assert host["LogConfig"]["Config"] == {"max-size": "100", "max-file": "2"}
    assert "Binds" not in host
    assert not host.get("Privileged")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "65534:65534"),
        ("0", "65534:65534"),
        ("00", "65534:65534"),
        ("+0", "65534:65534"),
        ("root:root", "65534:65534"),
        ("app", "65534:65534"),
        ("1000:0", "65534:65534"),
        ("1000", "1000:1000"),
        ("1000:27", "1000:27"),
    ],
)
def test_it_never_runs_as_root(user: str, expected: str) -> None:
    assert config(user)["User"] == expected


def test_an_images_volumes_are_in_memory_and_its_health_check_is_not_run() -> None:
    made = config(volumes=("/data", "/data/../cache/", "/tmp"))
    tmpfs = made["HostConfig"]["Tmpfs"]
    assert tmpfs.keys() == {"/tmp", "/data", "/cache"}
    assert len(set(tmpfs.values())) == 1
    assert made["Healthcheck"] == {"Test": ["NONE"]}


@pytest.mark.parametrize("path", ["/", "//", "/out/x", "in", "/x/../dev/shm", "/proc"])
def test_a_volume_where_a_task_has_something_else_makes_the_image_unusable(path: str) -> None:
    with pytest.raises(ImageUnusable, match="i:1 declares a volume at /"):
        config(volumes=(path,))


def test_nothing_beyond_that_is_there_unless_granted() -> None:
    granted = config(grants=Grants(network=True, capabilities=("NET_RAW",), runtime="runsc"))
    host = granted["HostConfig"]
    assert (host["NetworkMode"], granted["NetworkDisabled"]) == ("bridge", False)
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["NET_RAW"])
    assert (host["Runtime"], host["ReadonlyRootfs"]) == ("runsc", True)
    assert not {"CapAdd", "Runtime", "CgroupParent"} & config()["HostConfig"].keys()


@pytest.mark.parametrize(
    ("user", "grants", "expected"),
    [
        ("1000", Grants(network=True, runtime="runsc"), "1000:1000"),
        ("", Grants(network=True), "65534:65534"),
        ("app", Grants(writable_root=True), "app"),
        ("", Grants(writable_root=True), ""),
        ("app", Grants(capabilities=("NET_RAW",)), "0:0"),
    ],
)
def test_capabilities_and_a_writable_root_come_with_a_user_who_can_use_them(
    user: str, grants: Grants, expected: str
) -> None:
    made = config(user, grants=grants)
    assert made["User"] == expected
    assert made["HostConfig"]["ReadonlyRootfs"] is not grants.writable_root


def test_tmp_is_sized_by_disk_and_memory() -> None:
    def tmp(disk: int, memory: int) -> str:
        resources = Resources(disk_bytes=disk, memory_bytes=memory)
        options: str = config(resources=resources)["HostConfig"]["Tmpfs"]["/tmp"]
        return options.rpartition("size=")[2]

    assert tmp(GIB, 64 * MIB) == str(32 * MIB)
    assert tmp(MIB, 64 * MIB) == str(MIB)
    assert int(tmp(0, 64 * MIB)) > 0  # 0 would mean as much as one likes.


def test_more_cpus_than_the_host_has_are_not_asked_of_docker() -> None:
    assert config(resources=Resources(cpus=64))["HostConfig"]["NanoCpus"] == 2_000_000_000


def test_command_and_entrypoint_are_the_images_own_unless_given() -> None:
    assert not {"Cmd", "Entrypoint", "WorkingDir"} & config().keys()
    given = config(command=("a", "b"), entrypoint=("e",), workdir="/w", env={"K": "v"})
    assert (given["Cmd"], given["Entrypoint"]) == (["a", "b"], ["e"])
    assert (given["WorkingDir"], given["Env"]) == ("/w", ["K=v"])


def test_at_start_known_containers_are_adopted_and_others_left_over() -> None:
    known = Assignment(
        assignment_id=f"{JOB}-0-1",
        task_id=f"{JOB}-0",
        job_id=JOB,
        container=ContainerSpec(image="i:1"),
    )
    ours, other = Container("1", known.assignment_id), Container("2", f"{JOB}-1-1")
    adopted, leftover = sort_found([ours, other], {known.assignment_id: known})
    assert adopted == [(known, ours)]
    assert leftover == [other]


def test_later_only_the_old_and_unowned_are_overdue() -> None:
    old, young, owned = (
        Container("1", "old", created_at=100),
        Container("2", "young", created_at=195),
        Container("3", "owned", created_at=100),
    )
    late = overdue([old, young, owned], lambda name: name == "owned", now=200, grace_s=60)
    assert late == [old]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("manifest for x:1 not found: manifest unknown", 404, ImageUnusable),
        ("pull access denied for x, repository does not exist", 404, ImageUnusable),
        ("invalid reference format", 400, ImageUnusable),
        ("no matching manifest for linux/arm64", 0, ImageUnusable),
        ("dial tcp 10.0.0.1:443: connect: connection refused", 500, PullInterrupted),
        ("net/http: TLS handshake timeout", 500, PullInterrupted),
        ("dial tcp: lookup registry on 10.0.0.1:53: no such host", 500, PullInterrupted),
        ("unexpected EOF", 0, PullInterrupted),
    ],
)
def test_pull_errors_are_permanent_or_not(text: str, code: int, expected: type) -> None:
    error = pull_error("x:1", text, code)
    assert type(error) is expected
    assert "x:1" in str(error)


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("refused"), requests.ReadTimeout("slow"), OSError("gone")]
)
def test_a_daemon_out_of_reach_is_unavailable(error: Exception) -> None:
    with pytest.raises(EngineUnavailable, match="do something"), translated("do something"):
        raise error


def test_figures_come_from_the_old_cgroups(tmp_path: Path) -> None:
    cpu, memory = tmp_path / "cpuacct/docker/c", tmp_path / "memory/docker/c"
    cpu.mkdir(parents=True)
    memory.mkdir(parents=True)
    (cpu / "cpuacct.usage").write_text("1500000000\n")
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (memory / "memory.max_usage_in_bytes").write_text("4096\n")
    reader = CgroupReader("c", root=tmp_path)
    reader.sample()
    assert (reader.cpu_s, reader.peak_memory_bytes, reader.oom_kills) == (1.5, 4096, 2)


def test_figures_come_from_the_unified_cgroups(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    folder = tmp_path / "system.slice/docker-c.scope"
    folder.mkdir(parents=True)
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    (folder / "memory.current").write_text("100\n")
    reader = CgroupReader("c", root=tmp_path)
    reader.sample()
    (folder / "memory.current").write_text("50\n")
    reader.sample()
    assert (reader.cpu_s, reader.peak_memory_bytes, reader.oom_kills) == (2.5, 100, 1)


def test_figures_are_found_under_a_parent_of_the_givers_own(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    folder = tmp_path / "seekgive_g.slice/docker-c.scope"
    folder.mkdir(parents=True)
    (folder / "cpu.stat").write_text("usage_usec 1000000\n")
    (folder / "memory.events").write_text("oom_kill 0\n")
    (folder / "memory.current").write_text("1\n")
    reader = CgroupReader("c", "seekgive_g.slice", tmp_path)
    reader.sample()
    assert reader.cpu_s == 1


NET_DEV = """Inter-|   Receive                        |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets
    lo:     500      5    0    0    0     0          0         0      500       5
  eth0: 1000      9    0    0    0     0          0         0     2000       9
"""


@pytest.mark.parametrize("unified", [True, False])
def test_traffic_is_read_of_either_kind_and_the_loopback_is_none(
    tmp_path: Path, unified: bool
) -> None:
    if unified:
        (tmp_path / "cgroup.controllers").touch()
        folder, name = tmp_path / "docker/c", "io.stat"
        text = "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n"
    else:
        folder, name = tmp_path / "blkio/docker/c", "blkio.throttle.io_service_bytes"
        text = "8:0 Read 11\n8:0 Write 22\n8:0 Total 33\nTotal 33\n"
    (tmp_path / "proc/7/net").mkdir(parents=True)
    (tmp_path / "proc/7/net/dev").write_text(NET_DEV)
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    (folder / "cgroup.procs").write_text("7\n8\n")
    reader = CgroupReader("c", "", tmp_path, tmp_path / "proc")
    reader.sample()
    assert reader.traffic == Traffic(11, 22, 1000, 2000)


def test_without_files_nothing_is_claimed(tmp_path: Path) -> None:
    reader = CgroupReader("c", root=tmp_path)
    reader.sample()
    assert (reader.cpu_s, reader.peak_memory_bytes) == (None, None)
