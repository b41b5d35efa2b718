"""Where a stack keeps its files: all under `.local/`, but for its sockets.

A socket's path may have 107 bytes, and a clone may lie deeper than that: sockets, and what the
daemons keep beside them, are in a short folder named after the clone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from deploy.local.errors import StackError

CHECKOUT = Path(__file__).resolve().parents[2]


class Layout:
    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.home = self.root / ".local"
        self.stack_id = hashlib.sha256(str(self.root).encode()).hexdigest()[:8]
        """The same for the same clone, another for each: part of names that clones share."""
        self.logs = self.home / "logs"
        self.env_file = self.home / "env"
        self.state_file = self.home / "stack.json"
        self.lock_file = self.home / "lock"
        self.run_dir = _run_base() / f"seekgive-{self.stack_id}"

    def data(self, service: str) -> Path:
        """A service's own folder, kept from `down` to `up`."""
        return self.home / service

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"

    def make(self) -> None:
        """
        Raises:
            StackError: somebody else holds the folder for the sockets.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self.run_dir.mkdir(mode=0o711, exist_ok=True)
        found = self.run_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise StackError(
                f"{self.run_dir} belongs to another user (uid {found.st_uid}): remove it first"
            )


def _run_base() -> Path:
    if os.geteuid() == 0:
        return Path("/run")
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime_dir) if runtime_dir and Path(runtime_dir).is_dir() else Path("/tmp")
