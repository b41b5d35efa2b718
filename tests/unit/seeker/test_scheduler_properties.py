"""What holds whatever happens, in whichever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas.states import Outcome, TaskState
from seeker.model import Assignment, Job, Task
from tests.unit.seeker.conftest import World

GIVERS = st.sampled_from(["g1", "g2", "g3", "g4"])
DIGESTS = st.sampled_from(["right", "wrong", "odd", None])


class Fleetwide(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.out: list[Assignment] = []
        self.jobs: dict[str, Job] = {}
        self.final: dict[str, tuple[TaskState, str | None]] = {}

    def all_tasks(self) -> list[Task]:
        return list(self.world.tasks.values())

    @rule(giver_id=GIVERS)
    def heartbeat(self, giver_id: str) -> None:
        self.world.join(giver_id, backlog=1)

    @rule(count=st.integers(1, 6), replicas=st.integers(1, 3), data=st.data())
    def submit(self, count: int, replicas: int, data: st.DataObject) -> None:
        quorum = data.draw(st.integers(1, replicas))
        self.world.submit(count, replicas=replicas, quorum=quorum, max_attempts=6)

    @rule()
    def turn(self) -> None:
        changes = self.world.turn()
        self.jobs.update(changes.new_jobs)
        self.out += [a for items in changes.dispatches.values() for a in items]

    @precondition(lambda self: self.out)
    @rule(digest=DIGESTS, data=st.data())
    def report(self, digest: str | None, data: st.DataObject) -> None:
        assignment = data.draw(st.sampled_from(self.out))
        outcome = Outcome.SUCCEEDED if digest else Outcome.INFRASTRUCTURE_ERROR
        self.world.report(assignment, digest, outcome)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        self.world.refuse(data.draw(st.sampled_from(self.out)))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def unroutable(self, data: st.DataObject) -> None:
        assignment = data.draw(st.sampled_from(self.out))
        self.world.scheduler.returned([assignment.id], assignment.giver_id, self.world.now)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.world.command("cancel", data.draw(st.sampled_from(sorted(self.jobs))))

    @rule(seconds=st.sampled_from([1, 9, 12, 40]))
    def wait(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @invariant()
    def no_giver_holds_more_than_it_offered(self) -> None:
        for giver in self.world.fleet.givers.values():
            assert giver.load.containers == len(giver.assignments)
            assert giver.load.cpus <= giver.capacity.cpus * (1 + giver.beat.backlog / 4) + 1e-9

    @invariant()
    def nobody_tries_a_task_twice_at_a_time(self) -> None:
        for task in self.all_tasks():
            busy = [a.giver_id for a in task.live]
            voted = [vote.giver_id for vote in task.votes]
            assert len(set(busy)) == len(busy)
            assert len(set(voted)) == len(voted)
            assert not set(busy) & set(voted)

    @invariant()
    def final_states_are_final(self) -> None:
        for task in self.all_tasks():
            if task.state.final:
                now = (task.state, task.chosen)
                assert self.final.setdefault(task.id, now) == now

    @invariant()
    def no_task_is_lost_from_the_counts(self) -> None:
        for job in self.jobs.values():
            counts = [number for _, number in job.counts.items()]
            assert sum(counts) == job.spec.count
            assert min(counts) >= 0

    @invariant()
    def an_open_task_is_waited_for_or_waits(self) -> None:
        """Whatever is not final has somebody at it, or stands in the queue for somebody."""
        for task in self.all_tasks():
            if not task.state.final and task.job.tasks.get(task.index) is task:
                assert any(task.live) or task.queued, task

    @invariant()
    def attempts_are_bounded(self) -> None:
        for task in self.all_tasks():
            assert task.attempts <= task.job.spec.agreement.max_attempts

    def teardown(self) -> None:
        """With honest givers and time, everything ends."""
        for _ in range(300):
            for giver_id in ("g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9"):
                self.world.join(giver_id, backlog=1)
            self.turn()
            for assignment in [a for a in self.out if a.live]:
                stopped = assignment.task.withdrawn is not None or assignment.task.state.final
                outcome = Outcome.CANCELLED if stopped else Outcome.SUCCEEDED
                self.world.report(assignment, None if stopped else "right", outcome)
            self.out = [a for a in self.out if a.live]
            self.world.pass_time(1)
            if not self.out and all(job.state.final for job in self.jobs.values()):
                return
        open_tasks = [task for task in self.all_tasks() if not task.state.final]
        raise AssertionError(f"still open: {open_tasks}")


Fleetwide.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFleetwide = Fleetwide.TestCase
