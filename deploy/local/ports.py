"""Free loopback ports, below the range from which the kernel takes those of clients."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from deploy.local.errors import StackError

_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 200


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose(taken: Collection[int]) -> int:
    """At random, so that stacks starting at once hardly ever meet; none of `taken`."""
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, _HIGHEST)
        if port not in taken and is_free(port):
            return port
    raise StackError(f"found no free port between {_LOWEST} and {_HIGHEST} on 127.0.0.1")
