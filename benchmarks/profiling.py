"""Flame graphs of our processes under load, by py-spy."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.processes import Child
from runtime.command_line import UserError

_SAMPLES_PER_S = "200"


def find_py_spy() -> str:
    """
    Raises:
        UserError: there is none.
    """
    beside_python = Path(sys.executable).parent
    program = shutil.which("py-spy", path=f"{beside_python}:{os.environ.get('PATH', os.defpath)}")
    if program is None:
        raise UserError("there is no py-spy: `make venv` installs it")
    return program


@contextlib.contextmanager
def profiled(children: Sequence[Child], folder: Path) -> Iterator[None]:
    """Writes `<folder>/<process>.svg` for each."""
    program = find_py_spy()
    folder.mkdir(parents=True, exist_ok=True)
    spies = [
        subprocess.Popen(
            [program, "record", "--rate", _SAMPLES_PER_S, "--duration", "unlimited",
             "--output", str(folder / f"{child.name}.svg"), "--pid", str(child.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for child in children
    ]  # fmt: skip
    try:
        yield
    finally:
        for spy in spies:
            spy.send_signal(signal.SIGINT)
        for spy in spies:
            spy.wait()
