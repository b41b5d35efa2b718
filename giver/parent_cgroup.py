"""The control group that all containers of a giver are in: it limits them together and counts
their CPU time.

What it is called and what is written where follows from Docker's cgroup driver and the kernel's
version of cgroups. With the driver cgroupfs, Docker makes a parent that is not there, but without
limits; with systemd it is a slice. Limits are root's to set: where the giver is not root, `giver
doctor` says what root has to do.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_SYSTEMCTL_S = 10.0
_V1_CPU_TIME = "cpuacct"

Write = tuple[Path, str]
"""A file and what goes into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the group is for; without any of it there is none of the giver's own."""

    name: str | None = None
    """Of one that the owner has made."""
    cpus: float | None = None
    memory_bytes: int | None = None
    measured: bool = False
    """Somebody asks what CPU time the containers take."""

    @property
    def limited(self) -> bool:
        return self.cpus is not None or self.memory_bytes is not None


@dataclass(frozen=True, slots=True)
class Parent:
    name: str = ""
    """As Docker takes it; empty: Docker's own."""
    problem: str = ""
    """Why it is not as wanted."""
    remedy: str = ""
    ours: bool = False
    """Made by this giver, and its to remove."""


NO_PARENT = Parent()


def establish(wanted: Wanted, giver_id: str, driver: str, root: Path = ROOT) -> Parent:
    """See to the group that is wanted.

    Args:
        driver: Docker's, `cgroupfs` or `systemd`.
    """
    if wanted.name is not None:
        problem = misnamed(wanted.name, driver)
        if problem:
            return Parent("", problem, "mend GIVER_CGROUP_PARENT, or unset it")
        return Parent(wanted.name)
    if not wanted.limited and not wanted.measured:
        return NO_PARENT
    if driver not in ("cgroupfs", "systemd"):
        return Parent(
            "",
            f"Docker manages control groups by {driver or 'nothing'}, so all tasks together "
            "cannot be limited",
            "give Docker the cgroup driver systemd or cgroupfs",
        )
    name = own_name(giver_id, driver)
    if not wanted.limited:
        return Parent(name, ours=True)
    if driver == "systemd":
        problem = _run(["systemctl", "set-property", "--runtime", name, *properties(wanted)])
    else:
        problem = _write(limits(name, wanted, root))
    if problem:
        # Docker would make one without limits, which is only good for counting.
        return Parent(
            name if wanted.measured else "",
            f"all tasks together cannot be limited: {problem}",
            _for_root(wanted, driver, root),
        )
    return Parent(name, ours=True)


def _for_root(wanted: Wanted, driver: str, root: Path) -> str:
    """What to type to make a group that the giver may use."""
    if driver == "systemd":
        name = "seekgive.slice"
        commands = [" ".join(["systemctl set-property", name, *properties(wanted)])]
    else:
        name = "/seekgive"
        writes = limits(name, wanted, root)
        commands = [f"mkdir -p {folder}" for folder in dict.fromkeys(f.parent for f, _ in writes)]
        commands += [f"echo {text} > {file}" for file, text in writes]
    return f"as root: `{'; '.join(commands)}`, and name it: GIVER_CGROUP_PARENT={name}"


def own_name(giver_id: str, driver: str) -> str:
    # In a slice's name, a dash stands for a level of the tree.
    return (
        f"seekgive_{giver_id.replace('-', '_')}.slice"
        if driver == "systemd"
        else f"/seekgive-{giver_id}"
    )


def misnamed(name: str, driver: str) -> str:
    """Why Docker would not take the name; empty if it would."""
    if driver == "systemd" and not name.endswith(".slice"):
        return f"GIVER_CGROUP_PARENT={name} is no slice, which Docker's driver systemd asks for"
    if driver == "cgroupfs" and (not name.startswith("/") or name.endswith(".slice")):
        return f"GIVER_CGROUP_PARENT={name} is no path that begins with /, as cgroupfs asks for"
    return ""


def path_of(name: str) -> str:
    """Below each controller's root: `a-b.slice` is in `a.slice`."""
    if not name.endswith(".slice"):
        return name.strip("/")
    steps = name.removesuffix(".slice").split("-")
    return "/".join("-".join(steps[: end + 1]) + ".slice" for end in range(len(steps)))


def unified(root: Path = ROOT) -> bool:
    """Cgroups of version 2."""
    return (root / "cgroup.controllers").exists()


def limits(name: str, wanted: Wanted, root: Path = ROOT) -> list[Write]:
    """In this order; a limit that is not wanted may be there from before, and is lifted."""
    path = path_of(name)
    quota = None if wanted.cpus is None else round(wanted.cpus * _PERIOD_US)
    memory = wanted.memory_bytes
    if unified(root):
        folder = root / path
        return [
            (root / "cgroup.subtree_control", "+cpu +memory"),
            (folder / "cpu.max", f"{'max' if quota is None else quota} {_PERIOD_US}"),
            (folder / "memory.max", "max" if memory is None else str(memory)),
        ]
    cpu, memory_folder = root / "cpu" / path, root / "memory" / path
    most = str(-1 if memory is None else memory)
    swap = memory_folder / "memory.memsw.limit_in_bytes"
    with_swap = (root / "memory" / swap.name).exists()  # Where the kernel counts swap.
    return [
        (cpu / "cpu.cfs_period_us", str(_PERIOD_US)),
        (cpu / "cpu.cfs_quota_us", str(-1 if quota is None else quota)),
        # Memory and swap together may never be less than memory alone.
        *([(swap, "-1")] if with_swap else []),
        (memory_folder / "memory.limit_in_bytes", most),
        *([(swap, most)] if with_swap else []),
    ]


def properties(wanted: Wanted) -> list[str]:
    """The same for systemd."""
    quota = "" if wanted.cpus is None else f"{wanted.cpus * 100:g}%"
    memory = "infinity" if wanted.memory_bytes is None else str(wanted.memory_bytes)
    return [f"CPUQuota={quota}", f"MemoryMax={memory}"]


def cpu_s(name: str, root: Path = ROOT) -> float:
    """CPU seconds of all containers that were ever in it; 0 while it does not exist."""
    path = path_of(name)
    try:
        if unified(root):
            first = (root / path / "cpu.stat").read_text().split("\n", 1)[0]
            return int(first.removeprefix("usage_usec ")) / 1e6
        return int((root / _V1_CPU_TIME / path / "cpuacct.usage").read_text()) / 1e9
    except (OSError, ValueError):
        return 0.0


def remove(parent: Parent, root: Path = ROOT) -> None:
    """Once nothing runs in it, and where that is ours to do."""
    if not parent.ours:
        return
    if parent.name.endswith(".slice"):
        if _ask(["systemctl", "show", "--value", "--property=TasksCurrent", parent.name]) == "0":
            for verb in ("stop", "revert"):
                _run(["systemctl", verb, parent.name])
        return
    with contextlib.suppress(OSError):
        for controller in [root] if unified(root) else list(root.iterdir()):
            with contextlib.suppress(OSError):
                (controller / path_of(parent.name)).rmdir()


def _write(writes: Sequence[Write]) -> str:
    """What went wrong; empty: nothing."""
    for file, text in writes:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        except OSError as error:
            return f"{file} cannot be written ({error.strerror})"
    return ""


def _run(command: Sequence[str]) -> str:
    """What went wrong; empty: nothing."""
    try:
        ended = _ended(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"systemctl cannot be run ({error})"
    return "" if ended.returncode == 0 else ended.stderr.strip() or "systemctl failed"


def _ask(command: Sequence[str]) -> str:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return _ended(command).stdout.strip()
    return ""


def _ended(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=_SYSTEMCTL_S, check=False
    )
