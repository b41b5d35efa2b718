"""What a running container has used, read from the kernel's files where they are at hand.

The files vanish with the container, so the last reading before its end is what counts: CPU time
and traffic may miss the last moments, and a container that ends at once may not be measured at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from giver import parent_cgroup

_PROC = Path("/proc")
_LOOPBACK = "lo"
_UNIFIED_IO = (r"\brbytes=(\d+)", r"\bwbytes=(\d+)")
_V1_IO = (r"\bRead (\d+)", r"\bWrite (\d+)")


class Traffic(NamedTuple):
    """Bytes, from and to block devices and the network; `None`: not known."""

    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None


NO_TRAFFIC = Traffic()


class CgroupReader:
    """Readings of one container; `None` until there is one."""

    def __init__(
        self,
        container_id: str,
        parent: str = "",
        root: Path = parent_cgroup.ROOT,
        proc: Path = _PROC,
    ) -> None:
        """`parent`: the control group that it is in; empty: Docker's own."""
        self._root = root
        self._proc = proc
        self._unified = parent_cgroup.unified(root)
        places = [parent_cgroup.path_of(parent)] if parent else ["docker", "system.slice"]
        # By Docker's drivers cgroupfs and systemd.
        names = (container_id, f"docker-{container_id}.scope")
        self._paths = [f"{place}/{name}" for place in places for name in names]
        self._path: str | None = None
        self.cpu_s: float | None = None
        self.peak_memory_bytes: int | None = None
        self.oom_kills = 0
        self.traffic = NO_TRAFFIC

    def sample(self) -> None:
        """Take a reading; where there is none to take, the last one stays."""
        for measure in (self._processor_and_memory, self._traffic):
            try:
                measure()
            except (OSError, ValueError, KeyError):
                continue  # The container has ended, or its groups are not on this host.

    def _folder(self, controller: str) -> Path:
        """
        Raises:
            FileNotFoundError: the container is in none of the places.
        """
        base = self._root if self._unified else self._root / controller
        if self._path is None:
            self._path = next((path for path in self._paths if (base / path).exists()), None)
        if self._path is None:
            raise FileNotFoundError(base)
        return base / self._path

    def _processor_and_memory(self) -> None:
        if self._unified:
            folder = self._folder("")
            self.cpu_s = _table(folder / "cpu.stat")["usage_usec"] / 1e6
            self.oom_kills = _table(folder / "memory.events").get("oom_kill", 0)
            peak = folder / "memory.peak"  # Since Linux 5.19.
            current = int((peak if peak.exists() else folder / "memory.current").read_text())
            self.peak_memory_bytes = max(self.peak_memory_bytes or 0, current)
            return
        memory = self._folder("memory")
        self.cpu_s = int((self._folder("cpuacct") / "cpuacct.usage").read_text()) / 1e9
        self.oom_kills = _table(memory / "memory.oom_control").get("oom_kill", 0)
        self.peak_memory_bytes = int((memory / "memory.max_usage_in_bytes").read_text())

    def _traffic(self) -> None:
        if self._unified:
            folder = self._folder("")
            text, patterns = (folder / "io.stat").read_text(), _UNIFIED_IO
        else:
            folder = self._folder("blkio")
            text, patterns = (folder / "blkio.throttle.io_service_bytes").read_text(), _V1_IO
        read, written = (sum(map(int, re.findall(pattern, text))) for pattern in patterns)
        self.traffic = self.traffic._replace(disk_read_bytes=read, disk_written_bytes=written)
        process = (folder / "cgroup.procs").read_text().split()[:1]
        if process:
            counted = [(0, 0), *_interfaces(self._proc / process[0] / "net" / "dev")]
            received, sent = map(sum, zip(*counted, strict=True))
            self.traffic = self.traffic._replace(received_bytes=received, sent_bytes=sent)


def _interfaces(file: Path) -> Iterator[tuple[int, int]]:
    """Bytes received and sent by each but the loopback."""
    for line in file.read_text().splitlines()[2:]:
        name, _, figures = line.partition(":")
        if name.strip() != _LOOPBACK:
            columns = figures.split()
            yield int(columns[0]), int(columns[8])


def _table(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
