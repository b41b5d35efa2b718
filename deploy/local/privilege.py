"""Acting as root: because we are, or by `sudo` without a password."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Privilege:
    """`prefix` goes before each command that needs root."""

    granted: bool
    prefix: tuple[str, ...] = ()

    @classmethod
    def of_this_user(cls) -> Privilege:
        if os.geteuid() == 0:
            return cls(granted=True)
        if shutil.which("sudo"):
            asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
            if asked.returncode == 0:
                return cls(granted=True, prefix=("sudo", "-n"))
        return cls(granted=False)

    def send_signal(self, pid: int, number: signal.Signals) -> None:
        """A process that is gone already is no error."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            self.run(["kill", f"-{number.value}", str(pid)])

    def run(self, command: Sequence[str]) -> None:
        """Best effort, as root where granted: what it was to undo may be undone already."""
        with contextlib.suppress(OSError):
            subprocess.run([*self.prefix, *command], capture_output=True, check=False)
