"""`python3 deploy/local/bootstrap.py EXTRA…`: the virtual environment, with these extras.

Stands on nothing but the standard library. Done again only when setup.cfg or constraints.txt
changed, or an extra is new.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
CONSTRAINTS = ROOT / "constraints.txt"
LOG = VENV / "install.log"

OLDEST_PYTHON = (3, 11)

# Indices that some machines name in their pip configuration and that are not there.
_NOISE = re.compile(r"^WARNING: Location '[^']*' is ignored")
_SHOWN = re.compile(r"^(Collecting|Downloading|Building|Installing|WARNING|ERROR)\b.*")


def main(extras: list[str]) -> None:
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            f"Python {sys.version.split()[0]} is too old, 3.11 or newer is needed: install it, "
            "or name one, as in `make PYTHON=python3.12 up`"
        )
    fingerprint = _fingerprint()
    stamp = _stamp()
    wanted = sorted({*extras, *stamp.get("extras", [])})
    if stamp == {"fingerprint": fingerprint, "extras": wanted}:
        return
    began = time.monotonic()
    if not _works():
        print(f"  … make {VENV.relative_to(ROOT)} with Python {sys.version.split()[0]}", flush=True)
        _make()
    print(f"  … install {', '.join(wanted)}", flush=True)
    _install(wanted)
    STAMP.write_text(json.dumps({"fingerprint": fingerprint, "extras": wanted}))
    print(f"  ✓ .venv is ready {time.monotonic() - began:.1f} s", flush=True)


def _fingerprint() -> str:
    digest = hashlib.sha256(str(ROOT).encode())
    for path in (ROOT / "setup.cfg", CONSTRAINTS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _stamp() -> dict[str, Any]:
    """What was installed last, in this very environment."""
    try:
        return dict(json.loads(STAMP.read_text())) if PYTHON.exists() else {}
    except (FileNotFoundError, ValueError):
        return {}


def _works() -> bool:
    """Not when it was left half made, or its Python has been replaced by a newer one since."""
    if not PYTHON.exists():
        return False
    asked = subprocess.run(
        [str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False
    )
    return asked.returncode == 0


def _make() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode == 0:
        return
    if "ensurepip" in made.stdout:
        sys.exit(
            "this Python cannot make virtual environments. Type this, then try again:\n\n"
            "    sudo apt-get update && sudo apt-get install -y python3-venv\n"
        )
    sys.exit(f"cannot make {VENV}:\n{made.stdout}")


def _install(extras: list[str]) -> None:
    command = [
        str(PYTHON), "-m", "pip", "install",
        "--disable-pip-version-check", "--no-input", "--progress-bar=off",
        f"--constraint={CONSTRAINTS}",
        "--editable", f"{ROOT}[{','.join(extras)}]",
    ]  # fmt: skip
    lines: list[str] = []
    with (
        LOG.open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            if _NOISE.match(line):
                continue
            log.write(line)
            lines.append(line.rstrip())
            _show(line.strip())
    _show("")
    if pip.returncode != 0:
        tail = "\n".join(f"    {line}" for line in lines[-15:])
        sys.exit(f"pip failed (exit code {pip.returncode}), all of it in {LOG}:\n{tail}")


def _show(line: str) -> None:
    """On a terminal one line that changes; elsewhere only what takes long."""
    if sys.stdout.isatty():
        if not line or _SHOWN.match(line):
            width = os.get_terminal_size().columns - 5
            print(f"\r\033[K    {line[:width]}" if line else "\r\033[K", end="", flush=True)
    elif line.startswith(("Installing", "WARNING", "ERROR")):
        print(f"    {line[:160]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
