"""What `giver/speed.py` runs in processes of their own; stands on the standard library alone.

Prints how many steps a second of CPU time does: what others do on the host meanwhile counts little.
"""

from __future__ import annotations

import time
from statistics import median

STEPS = 250_000
ROUNDS = 5


def work(steps: int) -> int:
    """Integer arithmetic, branches and look-ups, in the first-level caches throughout."""
    table = {n: n * 2654435761 & 0xFFFF for n in range(256)}
    value = 1
    for _ in range(steps):
        value = (value * 1103515245 + 12345) & 0x7FFFFFFF
        if value & 0x40000:
            value ^= table[value >> 16 & 0xFF]
        else:
            value += table[value & 0xFF]
    return value


def steps_per_s() -> float:
    """Of the median round, so that a disturbed one says nothing."""
    rates = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work(STEPS)
        rates.append(STEPS / (time.process_time() - began))
    return median(rates)


if __name__ == "__main__":
    print(steps_per_s())
