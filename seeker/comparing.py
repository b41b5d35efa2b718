"""Jobs of the seeker's own: the user's container looks at two results and says whether they agree.

It finds them in `$RESULT_A` and `$RESULT_B` and ends with 0 if they agree; whatever else it does
means that they do not. Where it cannot be run nothing is known, and the task fails. It runs
hardened as any task, on a giver that has not voted, nor has any other of that owner. One giver's
word is enough here: to pass a wrong result off as right, it would have to be in league with the
giver that made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from ulid import ULID

from schemas import identifiers
from schemas.job import ContainerSpec, JobSpec, Placement, Submission
from schemas.states import Outcome, TaskState
from seeker.agreement import Vote
from seeker.comparators import Pair, pair_of, same_but_for_stdout
from seeker.model import Task

TIMEOUT_S = 600.0
QUEUE_TIMEOUT_S = 600.0
"""Of a comparison that nobody can take."""
CANNOT_RUN = frozenset({125, 126, 127})
"""Exit codes of a container whose command was not run, as Docker and shells have them."""
REQUIRE_CHARACTERS = 1200
"""The greatest length of the expression that names those who may not compare. The two who are
compared come first."""
BEFORE_OTHERS = 1
"""Priority above the job's own, as its task waits."""


def unknown(votes: Sequence[Vote], known: Mapping[Pair, bool]) -> Iterator[tuple[Vote, Vote]]:
    """Pairs of votes that only the user's container can tell apart, and has not yet."""
    for position, one in enumerate(votes):
        for other in votes[:position]:
            if (
                one.digest != other.digest
                and one.comparable is not None
                and other.comparable is not None
                and same_but_for_stdout(one, other)
                and pair_of(one, other) not in known
            ):
                yield other, one


def job_id(task: Task, one: Vote, other: Vote) -> str:
    """The same whenever these two are to be compared."""
    began = ULID.from_str(task.job.id).bytes[:6]
    about = hashlib.sha256("\n".join(pair_of(one, other)).encode()).digest()
    return str(ULID.from_bytes(began + about[:10]))


def job_of(task: Task, one: Vote, other: Vote, now: datetime) -> Submission:
    spec = task.job.spec
    comparison = spec.agreement.comparison
    auth = spec.container.registry_auth
    if auth is not None and auth.registry != identifiers.registry_of(comparison.image):
        auth = None
    return Submission(
        job_id=job_id(task, one, other),
        submitted_at=now,
        spec=JobSpec(
            name=f"comparison for {task.id}",
            container=ContainerSpec(
                image=comparison.image,
                registry_auth=auth,
                command=comparison.command,
                env={name: f"{{{{{name}}}}}" for name in ("RESULT_A", "RESULT_B")},
                timeout_s=TIMEOUT_S,
            ),
            # As values, in which no placeholder is filled: a result may look like one.
            parameters=({"RESULT_A": one.comparable or "", "RESULT_B": other.comparable or ""},),
            placement=Placement(require=_by_none_of(task, (one, other, *task.votes))),
            queue_timeout_s=QUEUE_TIMEOUT_S,
            priority=min(1000, spec.priority + BEFORE_OTHERS),
        ),
    )


def job_ids(tasks: Iterable[Task]) -> set[str]:
    """Of all comparisons that these tasks wait for."""
    return {
        job_id(task, *pair)
        for task in tasks
        if task.job.spec.agreement.comparison.by == "image" and not task.state.final
        for pair in unknown(task.votes, task.comparisons)
    }


def answered(comparison: Task) -> bool:
    """Whether it ended by the container's own word."""
    chosen = next((v for v in comparison.votes if v.result_id == comparison.chosen), None)
    return (
        chosen is not None
        and chosen.outcome is not Outcome.IMAGE_ERROR
        and chosen.exit_code not in CANNOT_RUN
    )


def agree(state: TaskState) -> bool:
    """What the end of a comparison says."""
    return state is TaskState.SUCCEEDED


def waiting_for(task: Task, ids: Sequence[str]) -> str:
    """For a person."""
    job = identifiers.job_of(ids[0])
    return f"{len(task.votes)} votes, being compared by job {job}"


def _by_none_of(task: Task, votes: Sequence[Vote]) -> str:
    """An expression that keeps away their givers, and all givers of these givers' owners."""
    groups = {assignment.giver_id: assignment.group for assignment in task.assignments}
    expression = ""
    for giver_id in dict.fromkeys(vote.giver_id for vote in votes):
        kind, _, owner = groups.get(giver_id, "").partition(" ")
        name, value = ("owner", owner) if kind == "owner" else ("id", giver_id)
        condition = f"{name} != {json.dumps(value, ensure_ascii=False)}"
        longer = f"{expression} && {condition}" if expression else condition
        if condition not in expression and len(longer) <= REQUIRE_CHARACTERS:
            expression = longer
    return expression
