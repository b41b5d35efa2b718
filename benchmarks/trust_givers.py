"""Simulated givers that answer as their kind does, and what they are asked by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

RIGHT = "right"
COLLUSION = "the colluders' own"
CRASH = None
"""No vote: its Docker failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How givers answer."""

    name: str
    lies: float = 0.0
    """The share of its answers that are wrong."""
    colluding: bool = False
    """Its wrong answers are those of all others of its kind."""
    honest_for: int = 0
    """Answers before the first wrong one: until it is trusted, it hopes."""
    crashes: float = 0.0

    def answer(self, giver_id: str, task_id: str, answered: int, random: Random) -> str | None:
        """
        Args:
            answered: how many answers it has given before.
        """
        if self.crashes and random.random() < self.crashes:
            return CRASH
        if answered < self.honest_for or random.random() >= self.lies:
            return RIGHT
        return COLLUSION if self.colluding else f"{giver_id} about {task_id}"


HONEST = Kind(name="honest")
RANDOM_LIAR = Kind(name="random liars", lies=0.1)
RARE_LIAR = Kind(name="rare liars", lies=0.02)
CONSTANT_LIAR = Kind(name="constant liars", lies=1.0)
COLLUDER = Kind(name="colluders", lies=1.0, colluding=True)
LATE_STARTER = Kind(name="late starters", lies=0.3, honest_for=100)
LATE_COLLUDER = Kind(name="late colluders", lies=0.3, colluding=True, honest_for=100)
CRASHER = Kind(name="crashers", crashes=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    shares: tuple[tuple[Kind, float], ...] = ()
    """Of all givers; the rest is honest."""

    def cast(self, givers: int) -> dict[str, Kind]:
        """Who is what, by giver id."""
        kinds: list[Kind] = []
        for kind, share in self.shares:
            kinds += [kind] * round(givers * share)
        kinds += [HONEST] * (givers - len(kinds))
        Random(0).shuffle(kinds)
        return {f"g{number}": kind for number, kind in enumerate(kinds)}


GOAL = Scenario(
    name="5 % random liars, 2 % colluders",
    shares=((RANDOM_LIAR, 0.05), (COLLUDER, 0.02)),
)
SCENARIOS: Sequence[Scenario] = (
    Scenario(name="all honest"),
    GOAL,
    Scenario(name="5 % rare liars (2 % of answers)", shares=((RARE_LIAR, 0.05),)),
    Scenario(name="5 % constant liars", shares=((CONSTANT_LIAR, 0.05),)),
    Scenario(name="5 % late starters", shares=((LATE_STARTER, 0.05),)),
    Scenario(name="10 % crashers", shares=((CRASHER, 0.1),)),
)
COLLUDING: Sequence[tuple[float, Scenario, Scenario]] = tuple(
    (
        share,
        Scenario(name=f"{share:.0%} colluders", shares=((COLLUDER, share),)),
        Scenario(name=f"{share:.0%} late colluders", shares=((LATE_COLLUDER, share),)),
    )
    for share in (0.02, 0.05, 0.1, 0.2, 0.3)
)


@dataclass(slots=True)
class Tally:
    """What became of the tasks that were decided once trust could be earned."""

    tasks: int = 0
    wrong: int = 0
    undecided: int = 0
    runs: int = 0
    lies_until_found: float | None = None
    """Wrong answers of a giver that was ever trusted, until its first vote against a majority;
    the mean."""

    @property
    def wrong_per_10000(self) -> float:
        return 1e4 * self.wrong / self.tasks

    @property
    def runs_per_task(self) -> float:
        return self.runs / self.tasks


def mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None
