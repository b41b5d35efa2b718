"""No-op tasks: how many a second, and how long one takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contender import Contender
from benchmarks.infrastructure import Infrastructure
from benchmarks.measurements import Latencies, Rates, Run
from benchmarks.ours import Ours
from benchmarks.peer import VARIANTS, Celery, Variant
from benchmarks.profiling import profiled
from deploy.local.progress import Progress

ARRAY, SINGLES, CELERY = "ours, one array job", "ours, one job a task", "Celery"
OURS, QUORUM = "ours", "Celery, quorum queue"

CONTAINERS, BACKLOG = 1000, 3000
"""Of the giver whose engine does nothing."""
_TRIAL_TASKS = 1500


def fastest_peer(infra: Infrastructure, progress: Progress) -> tuple[Variant, dict[str, float]]:
    """Celery's best variant, and the tasks a second of each in a short trial."""
    rates: dict[Variant, float] = {}
    for variant in VARIANTS:
        with progress.step(f"try Celery: {variant}"), Celery(infra, variant) as peer:
            peer.warm_up(peer.how)
            rates[variant] = _TRIAL_TASKS / peer.run(peer.how, _TRIAL_TASKS)[1]
    return max(rates, key=rates.__getitem__), {str(each): rate for each, rate in rates.items()}


def throughput(
    infra: Infrastructure,
    progress: Progress,
    variant: Variant,
    *,
    rounds: int,
    tasks: int,
    singles: int,
    peer_tasks: int,
    profile: Path | None,
) -> Rates:
    """`tasks` by one array job, `singles` by a job each, `peer_tasks` by Celery; each round.

    `profile`: folder for flame graphs of one more run, which is not counted.
    """
    runs: dict[str, list[Run]] = {ARRAY: [], SINGLES: [], CELERY: []}
    with ExitStack() as stack:
        ours = stack.enter_context(Ours(infra, containers=CONTAINERS, backlog=BACKLOG))
        peer = stack.enter_context(Celery(infra, variant))
        with progress.step("warm up"):
            ours.warm_up("array")
            peer.warm_up(peer.how)
        turns: dict[str, tuple[Contender, str, int]] = {
            ARRAY: (ours, "array", tasks),
            CELERY: (peer, peer.how, peer_tasks),
            SINGLES: (ours, "singles", singles),
        }
        for side, number in alternating(turns, rounds):
            contender, how, count = turns[side]
            with progress.step(f"round {number}: {count} tasks, {side}") as detail:
                runs[side].append(_measured(contender, how, count))
                detail(f"{runs[side][-1].rate:.0f} a second")
        if profile is not None:
            with progress.step("profile"), profiled(ours.services, profile):
                ours.run("array", tasks)
    return Rates(
        unit="tasks/s", runs=runs, ours=(ARRAY, SINGLES), peer=CELERY, notes={CELERY: str(variant)}
    )


def latency(
    infra: Infrastructure, progress: Progress, variant: Variant, *, rounds: int, tasks: int
) -> Latencies:
    """One task at a time: submitted when the result of the one before was seen."""
    seconds: dict[str, list[list[float]]] = {OURS: [], CELERY: [], QUORUM: []}
    alike = Variant("quorum", "prefork", 2, 64, 1)
    with ExitStack() as stack:
        sides: dict[str, Contender] = {
            OURS: stack.enter_context(Ours(infra, containers=CONTAINERS, backlog=BACKLOG)),
            CELERY: stack.enter_context(Celery(infra, variant)),
            QUORUM: stack.enter_context(Celery(infra, alike)),
        }
        with progress.step("warm up"):
            sides[OURS].warm_up("array")
            sides[CELERY].warm_up(str(variant.producers))
            sides[QUORUM].warm_up("1")
        for side, number in alternating(sides, rounds):
            with progress.step(f"round {number}: {tasks} tasks one by one, {side}"):
                seconds[side].append(sides[side].one_by_one(tasks))
    return Latencies(seconds=seconds, ours=(OURS,), peer=CELERY)


def _measured(contender: Contender, how: str, count: int) -> Run:
    before = contender.cpu()
    submitted_s, seconds = contender.run(how, count)
    contender.settle()
    after = contender.cpu()
    return Run(
        tasks=count,
        seconds=seconds,
        submitted_s=submitted_s,
        cpu_s={name: after[name] - before[name] for name in before},
    )


def alternating(sides: Mapping[str, object], rounds: int) -> Iterator[tuple[str, int]]:
    """Each round the other way round, so that nobody always goes first."""
    order = list(sides)
    for number in range(1, rounds + 1):
        for side in order:
            yield side, number
        order.reverse()
