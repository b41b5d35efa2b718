"""Background processes that outlive us, known by pid and start time.

A pid alone may by now belong to somebody else; together with the start time it does not.
Everything started carries a mark in its environment, which its children inherit: what a service
left behind (shims, port mappers) is found by it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from deploy.local.errors import StackError
from deploy.local.privilege import Privilege

MARK = "SEEKGIVE_STACK"
_POLL_S = 0.05


class Identity(BaseModel, frozen=True):
    pid: int
    started: int
    """Clock ticks from boot to the start of the process."""


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """`None` when there is no such process, or only a zombie of it."""
    try:
        # The second field, the command, may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Its first thread may be a zombie while others still hold its ports.
    gone = fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1)
    return None if gone else Identity(pid=pid, started=int(fields[19]))


def alive(identity: Identity | None) -> bool:
    if identity is None:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(identity.pid, os.WNOHANG)
    return identify(identity.pid) == identity


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    mark: str,
    log: Path,
    cwd: Path,
    privilege: Privilege | None = None,
) -> Identity:
    """Start in a session of its own, output appended to `log`; with `privilege` as root.

    Raises:
        StackError: the command could not be started.
    """
    marked = {**environment, MARK: mark}
    pid_file = log.with_suffix(".pid")
    as_other_user = privilege is not None and bool(privilege.prefix)
    if privilege is not None and as_other_user:
        pid_file.unlink(missing_ok=True)
        assignments = [f"{name}={value}" for name, value in marked.items()]
        script = 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"'
        command = [
            *privilege.prefix, "env", *assignments, "sh", "-c", script, str(pid_file), *command
        ]  # fmt: skip
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=marked,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        raise StackError(f"cannot start {command[0]}: {error.strerror}") from error
    pid = _read_pid(pid_file, process) if as_other_user else process.pid
    identity = identify(pid)
    # From here on the state file owns the process; Popen would complain that nobody waited for it.
    process.returncode = 0
    # A process that is gone already has an identity all the same: one that nobody has.
    return identity or Identity(pid=pid, started=-1)


def _read_pid(pid_file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 10
    while not pid_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"sudo did not start the command: see {pid_file.with_suffix('.log')}")
        time.sleep(_POLL_S)
    return int(pid_file.read_text())


def stop(identity: Identity, grace_s: float, privilege: Privilege) -> None:
    """SIGTERM, then after `grace_s` SIGKILL; returns when the process is gone."""
    if alive(identity):
        privilege.send_signal(identity.pid, signal.SIGTERM)
        if not wait_until(lambda: not alive(identity), grace_s):
            kill(identity, privilege)


def kill(identity: Identity, privilege: Privilege) -> None:
    """SIGKILL; returns when the process is gone.

    Raises:
        StackError: the kernel does not let it go.
    """
    if alive(identity):
        privilege.send_signal(identity.pid, signal.SIGKILL)
        if not wait_until(lambda: not alive(identity), 10):
            raise StackError(f"process {identity.pid} does not die of SIGKILL")


def marked(mark: str, privilege: Privilege) -> list[Identity]:
    """All processes that carry the mark, but for this one."""
    script = 'exec grep -lszxF -e "$0" /proc/[0-9]*/environ'
    found = subprocess.run(
        [*privilege.prefix, "sh", "-c", script, f"{MARK}={mark}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    pids = [int(line.split("/")[2]) for line in found.stdout.splitlines()]
    identities = [identify(pid) for pid in pids if pid != os.getpid()]
    return [identity for identity in identities if identity is not None]


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True
