"""How fast this host's CPUs are: measured in well under a second, kept, seldom measured again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from schemas.heartbeat import Speed

log = structlog.get_logger(__name__)

STEPS_PER_S = 5_000_000.0
"""Of `speed_workload.py` on a core that counts as 1.0, an x86-64 server of the year 2020, with
CPython 3.11: that is the unit. Another version of Python is measured in with the host."""

VALID_S = 7 * 86400.0
_DEADLINE_S = 30.0
"""On a host so busy that it takes longer, nothing is known."""
_FILE = "speed.json"
_WORKLOAD = Path(__file__).with_name("speed_workload.py")


async def speed_of_host(state_dir: Path) -> Speed | None:
    """As it was kept in the state folder, or measured now, in processes of its own.

    Returns:
        `None` when it cannot be measured.
    """
    file = state_dir / _FILE
    machine = fingerprint()
    kept = _kept(file, machine, time.time())
    if kept is not None:
        return kept
    try:
        async with asyncio.timeout(_DEADLINE_S):
            speed = await _measure(len(os.sched_getaffinity(0)))
    except (OSError, ValueError, TimeoutError) as error:
        log.warning("speed_not_measured", reason=str(error) or "this host is too busy")
        return None
    log.info("speed_measured", single=speed.single, all_cores=speed.all_cores)
    document = {
        "machine": machine,
        "measured_at": time.time(),
        "single": speed.single,
        "all_cores": speed.all_cores,
    }
    with contextlib.suppress(OSError):  # Then it is measured at the next start.
        file.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return speed


def fingerprint() -> str:
    """What makes a kept measurement hold: the CPU, how many of it we may use, and our Python."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "cpu model"):
                model = value.strip()
                break
    return f"{model}, {len(os.sched_getaffinity(0))}, Python {platform.python_version()}"


def _kept(file: Path, machine: str, now: float) -> Speed | None:
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        if document["machine"] != machine or not 0 <= now - document["measured_at"] < VALID_S:
            return None
        return Speed(single=document["single"], all_cores=document["all_cores"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _measure(cores: int) -> Speed:
    """
    Raises:
        OSError, ValueError: a process cannot be started, or says nothing.
    """
    (single,) = await _run_at_once(1)
    together = await _run_at_once(cores) if cores > 1 else [single]
    return Speed(single=round(single, 3), all_cores=round(sum(together), 3))


async def _run_at_once(count: int) -> list[float]:
    """The speed of each of so many processes, which begin together."""
    # With its exceptions, for it would not wait for the others after the first one, not even
    # when it is cancelled itself.
    runs = await asyncio.gather(*(_run() for _ in range(count)), return_exceptions=True)
    speeds = []
    for run in runs:
        if isinstance(run, BaseException):
            raise run
        speeds.append(run)
    return speeds


async def _run() -> float:
    process = await asyncio.create_subprocess_exec(
        # Without site-packages it is up in an instant.
        *(sys.executable, "-I", "-S", str(_WORKLOAD)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await process.communicate()
        return float(out) / STEPS_PER_S
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Not `wait` alone: the pipe is open until its end has been read.
            await process.communicate()
