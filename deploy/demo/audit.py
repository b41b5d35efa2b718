"""What the records say of the job: who voted for what, and how it was decided. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One task, as the channel's results and the seeker's choice show it."""

    task_id: str
    chosen: str
    """The id of the result believed."""
    stdout: str
    """Of the result believed."""
    agreeing: tuple[str, ...]
    """Givers that voted for it."""
    differing: tuple[str, ...]
    """Givers that voted for something else."""
    disputed: bool
    """Nobody was left to break the tie: reputation decided."""


class WrongRecords(ValueError):
    """Seeker and channel do not fit together; the message names the task."""


def verdict(task: Document, results: Sequence[Document]) -> Verdict:
    """
    Args:
        task: of `seeker status TASK --json`.
        results: of `channel results TASK --json`, every one that came.

    Raises:
        WrongRecords: nothing was chosen, or what was chosen is not among the results.
    """
    name = task["task_id"]
    if task["chosen"] is None:
        raise WrongRecords(f"task {name} is {task['state']} without a result: {task['reason']}")
    by_id = {result["result_id"]: result for result in results}
    chosen = by_id.get(task["chosen"])
    if chosen is None:
        raise WrongRecords(f"task {name}: the chosen {task['chosen']} is not in the channel")
    votes = [result for result in results if result["digest"] is not None]
    return Verdict(
        task_id=name,
        chosen=task["chosen"],
        stdout=chosen["stdout"],
        agreeing=tuple(v["giver_id"] for v in votes if v["digest"] == chosen["digest"]),
        differing=tuple(v["giver_id"] for v in votes if v["digest"] != chosen["digest"]),
        disputed=task["disputed"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    tiles: int
    runs: int
    """Results that are votes; runs that were cut off or withdrawn sent none."""
    outvoted: int
    """Disagreements that a third giver settled."""
    disputed: int
    """Disagreements that reputation settled."""
    wrong: Mapping[str, int]
    """Votes against the result believed, by giver."""


def summarise(verdicts: Sequence[Verdict]) -> Summary:
    return Summary(
        tiles=len(verdicts),
        runs=sum(len(v.agreeing) + len(v.differing) for v in verdicts),
        outvoted=sum(bool(v.differing) and not v.disputed for v in verdicts),
        disputed=sum(v.disputed for v in verdicts),
        wrong=Counter(giver for v in verdicts for giver in v.differing),
    )
