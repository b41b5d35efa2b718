"""Processes known by pid and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import processes
from deploy.local.errors import StackError
from deploy.local.privilege import Privilege
from deploy.local.processes import Identity

HERE = Privilege(granted=False)
SLEEP = ("sleep", "600")


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    for identity in processes.marked(str(tmp_path), HERE):
        processes.kill(identity, HERE)


def spawn(tmp_path: Path, *command: str) -> Identity:
    return processes.spawn(
        command,
        environment={"PATH": os.environ["PATH"]},
        mark=str(tmp_path),
        log=tmp_path / "log",
        cwd=tmp_path,
    )


def wait_for_output(tmp_path: Path) -> None:
    assert processes.wait_until(lambda: bool((tmp_path / "log").read_bytes()), 10)


@pytest.mark.usefixtures("mark")
def test_a_started_process_is_alive_until_killed(tmp_path: Path) -> None:
    identity = spawn(tmp_path, *SLEEP)
    assert processes.alive(identity)
    processes.kill(identity, HERE)
    assert not processes.alive(identity)


def test_a_child_that_nobody_waited_for_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{child.pid}").exists()
        assert processes.identify(child.pid) is None


@pytest.mark.usefixtures("mark")
def test_a_process_whose_first_thread_alone_is_gone_is_alive(tmp_path: Path) -> None:
    script = (
        "import ctypes, threading, time;"
        "threading.Thread(target=time.sleep, args=(600,)).start();"
        "print('left', flush=True); ctypes.CDLL(None).pthread_exit(None)"
    )
    identity = spawn(tmp_path, sys.executable, "-c", script)
    stat = Path(f"/proc/{identity.pid}/stat")
    assert processes.wait_until(lambda: ") Z " in stat.read_text(), 10)
    assert processes.alive(identity)
    processes.kill(identity, HERE)
    assert not processes.alive(identity)


@pytest.mark.usefixtures("mark")
def test_another_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    identity = spawn(tmp_path, *SLEEP)
    earlier = Identity(pid=identity.pid, started=identity.started - 1)
    assert not processes.alive(earlier)
    processes.kill(earlier, HERE)
    processes.stop(earlier, 0, HERE)
    assert processes.alive(identity)


@pytest.mark.usefixtures("mark")
def test_stop_kills_what_does_not_mind_sigterm(tmp_path: Path) -> None:
    identity = spawn(tmp_path, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    wait_for_output(tmp_path)
    processes.stop(identity, 0.2, HERE)
    assert not processes.alive(identity)


@pytest.mark.usefixtures("mark")
def test_stop_lets_a_process_end_by_itself(tmp_path: Path) -> None:
    script = "trap 'echo ended; exit' TERM; echo ready; while :; do sleep 0.05; done"
    identity = spawn(tmp_path, "sh", "-c", script)
    wait_for_output(tmp_path)
    processes.stop(identity, 10, HERE)
    assert (tmp_path / "log").read_text() == "ready\nended\n"


def test_what_a_killed_process_left_is_found_by_its_mark(tmp_path: Path, mark: str) -> None:
    parent = spawn(tmp_path, "sh", "-c", "setsid sleep 600 & echo ready; wait")
    wait_for_output(tmp_path)
    processes.kill(parent, HERE)
    (orphan,) = processes.marked(mark, HERE)
    assert Path(f"/proc/{orphan.pid}/cmdline").read_bytes() == b"sleep\x00600\x00"
    assert processes.marked(mark + "-other", HERE) == []


@pytest.mark.usefixtures("mark")
def test_it_survives_the_end_of_its_terminal(tmp_path: Path) -> None:
    identity = spawn(tmp_path, *SLEEP)
    assert os.getsid(identity.pid) == identity.pid


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot start no-such-program"):
        spawn(tmp_path, "no-such-program")


def test_a_signal_to_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    HERE.send_signal(gone.pid, signal.SIGTERM)
