"""The control group of all tasks: its name, its limits, and what is said where it cannot be."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from giver import parent_cgroup
from giver.doctor import together
from giver.parent_cgroup import NO_PARENT, Parent, Wanted, establish

HALF = Wanted(cpus=1.5, memory_bytes=1 << 30)


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    for controller in ("cpu", "cpuacct", "memory"):
        (tmp_path / controller).mkdir()
    (tmp_path / "memory" / "memory.memsw.limit_in_bytes").touch()
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").touch()
    return tmp_path


@pytest.fixture
def systemctl(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What systemctl was asked; it does all."""
    asked = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "0\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_nothing_wanted_is_nothing_made(v2: Path) -> None:
    assert establish(Wanted(), "g", "cgroupfs", v2) is NO_PARENT
    assert [path.name for path in v2.iterdir()] == ["cgroup.controllers"]


def test_the_old_kind_gets_its_limits(v1: Path) -> None:
    assert establish(HALF, "my-giver", "cgroupfs", v1) == Parent("/seekgive-my-giver", ours=True)
    cpu, memory = v1 / "cpu/seekgive-my-giver", v1 / "memory/seekgive-my-giver"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "150000"
    assert (cpu / "cpu.cfs_period_us").read_text() == "100000"
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        assert (memory / name).read_text() == str(1 << 30)


def test_the_unified_kind_gets_its_limits_and_loses_those_no_longer_wanted(v2: Path) -> None:
    assert establish(HALF, "g", "cgroupfs", v2).name == "/seekgive-g"
    assert (v2 / "seekgive-g/cpu.max").read_text() == "150000 100000"
    assert (v2 / "seekgive-g/memory.max").read_text() == str(1 << 30)
    establish(Wanted(cpus=2), "g", "cgroupfs", v2)
    assert (v2 / "seekgive-g/memory.max").read_text() == "max"


def test_under_systemd_it_is_a_slice_that_lies_below_no_other(systemctl: list[list[str]]) -> None:
    parent = establish(HALF, "my-giver", "systemd")
    assert parent == Parent("seekgive_my_giver.slice", ours=True)
    assert parent_cgroup.path_of(parent.name) == parent.name
    properties = ["CPUQuota=150%", f"MemoryMax={1 << 30}"]
    assert systemctl == [["systemctl", "set-property", "--runtime", parent.name, *properties]]
    parent_cgroup.remove(parent)
    assert [command[1] for command in systemctl[1:]] == ["show", "stop", "revert"]


def test_where_it_cannot_be_made_dockers_own_is_used_and_root_is_told_what_to_do(
    v2: Path,
) -> None:
    (v2 / "seekgive-g").write_text("in the way")
    parent = establish(HALF, "g", "cgroupfs", v2)
    assert (parent.name, parent.ours) == ("", False)
    check = together(parent)
    assert check.verdict == "failed"
    assert "all tasks together cannot be limited" in check.found
    assert f"echo 150000 100000 > {v2}/seekgive/cpu.max" in check.remedy
    assert "GIVER_CGROUP_PARENT=/seekgive" in check.remedy


def test_one_that_only_counts_needs_nobodys_leave(v2: Path) -> None:
    parent = establish(Wanted(measured=True), "g", "cgroupfs", v2)
    assert (parent.name, parent.problem) == ("/seekgive-g", "")


@pytest.mark.parametrize(
    ("name", "driver", "fits"),
    [
        ("/tasks", "cgroupfs", True),
        ("tasks.slice", "systemd", True),
        ("/tasks", "systemd", False),
        ("tasks.slice", "cgroupfs", False),
        ("tasks", "cgroupfs", False),
    ],
)
def test_one_that_the_owner_made_is_used_if_docker_can(name: str, driver: str, fits: bool) -> None:
    parent = establish(Wanted(name=name, cpus=1), "g", driver)
    assert (parent.name, parent.ours) == ((name, False) if fits else ("", False))
    assert (name in parent.problem) is not fits


def test_a_docker_without_a_driver_is_named() -> None:
    assert "by none" in establish(HALF, "g", "none").problem


def test_slices_are_found_in_their_tree() -> None:
    assert parent_cgroup.path_of("a-b-c.slice") == "a.slice/a-b.slice/a-b-c.slice"
    assert parent_cgroup.path_of("/tasks/mine") == "tasks/mine"


def test_cpu_time_is_read_of_either_kind(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "cpuacct/tasks").mkdir(parents=True)
    (old / "cpuacct/tasks/cpuacct.usage").write_text("1500000000\n")
    (new / "a.slice").mkdir(parents=True)
    (new / "cgroup.controllers").touch()
    (new / "a.slice/cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert parent_cgroup.cpu_s("/tasks", old) == 1.5
    assert parent_cgroup.cpu_s("a.slice", new) == 2.5
    assert parent_cgroup.cpu_s("/gone", old) == 0
