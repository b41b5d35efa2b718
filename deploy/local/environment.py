"""`.local/env`: what a stack is reached by, for `sh` to source and for our commands to find."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from deploy.local.state import write_atomically


def write(path: Path, variables: Mapping[str, str]) -> None:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write_atomically(path, "".join(lines))
