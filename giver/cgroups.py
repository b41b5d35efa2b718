"""What a running container has used, read from the kernel's files where they are at hand.

The files vanish with the container, so the last reading before its end is what counts: CPU time
may miss the last moments, and a container that ends at once may not be measured at all.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


class CgroupReader:
    """Readings of one container; `None` until there is one."""

    def __init__(self, container_id: str, root: Path = _ROOT) -> None:
        self._unified = (root / "cgroup.controllers").exists()
        self.cpu_s: float | None = None
        self.peak_memory_bytes: int | None = None
        self.oom_kills = 0
        if self._unified:
            self._folders = [
                root / "system.slice" / f"docker-{container_id}.scope",
                root / "docker" / container_id,
            ]
        else:
            self._cpu = root / "cpuacct" / "docker" / container_id
            self._memory = root / "memory" / "docker" / container_id

    def sample(self) -> None:
        """Take a reading; where there is none to take, the last one stays."""
        try:
            if self._unified:
                self._sample_unified()
            else:
                self._sample_v1()
        except (OSError, ValueError, KeyError):
            return  # The container has ended, or its groups are not on this host.

    def _sample_unified(self) -> None:
        folder = next((path for path in self._folders if path.exists()), None)
        if folder is None:
            return
        self.cpu_s = _table(folder / "cpu.stat")["usage_usec"] / 1e6
        self.oom_kills = _table(folder / "memory.events").get("oom_kill", 0)
        peak = folder / "memory.peak"  # Since Linux 5.19.
        current = int((peak if peak.exists() else folder / "memory.current").read_text())
        self.peak_memory_bytes = max(self.peak_memory_bytes or 0, current)

    def _sample_v1(self) -> None:
        self.cpu_s = int((self._cpu / "cpuacct.usage").read_text()) / 1e9
        self.oom_kills = _table(self._memory / "memory.oom_control").get("oom_kill", 0)
        self.peak_memory_bytes = int((self._memory / "memory.max_usage_in_bytes").read_text())


def _table(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
