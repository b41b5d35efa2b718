"""Any message that can travel, for property tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from schemas import identifiers
from schemas.assignment import Assignment, CancelAssignments, Dispatch
from schemas.base import Message
from schemas.comparison import Comparison
from schemas.data import DataAccess, Input
from schemas.heartbeat import Capacity, Heartbeat, Held, Platform, Progress, Pull, Refusal
from schemas.job import (
    MOST_BYTES,
    Agreement,
    Command,
    ContainerSpec,
    Grants,
    JobSpec,
    Resources,
    Submission,
)
from schemas.logs import LogChunk, StreamLogs
from schemas.policy import Policy
from schemas.result import OutputFile, Result, StoredBatch, StoredResult, Stream, Usage
from schemas.states import AssignmentState, GiverState, Outcome

INT64_MAX = (1 << 63) - 1

short = st.text(max_size=20)
names = st.text(min_size=1, max_size=20)
arguments = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
counts = st.integers(0, INT64_MAX)
amounts = st.floats(0, 1e9)
sizes = st.integers(0, MOST_BYTES)
moments = st.datetimes(
    datetime(1971, 1, 1),  # noqa: DTZ001
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
hashes = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
paths = st.from_regex(r"[a-z][a-z ]{0,5}(/[a-z]{1,5}){0,2}", fullmatch=True)
maps = st.dictionaries(short, short, max_size=3)


def tuples(each: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(each, min_size=least, max_size=least + 2).map(tuple)


job_ids = st.from_regex(r"[0-9A-HJKMNP-TV-Z]{26}", fullmatch=True)
task_ids = st.builds(identifiers.task_id, job_ids, st.integers(0, 999_999_999))
assignment_ids = st.builds(identifiers.assignment_id, task_ids, st.integers(1, 999_999))
giver_ids = st.from_regex(identifiers.GIVER_PATTERN, fullmatch=True).filter(identifiers.is_giver_id)

containers = st.builds(
    ContainerSpec,
    image=st.from_regex(r"[a-z][a-z0-9._/:-]{0,19}", fullmatch=True),
    command=tuples(arguments),
    entrypoint=tuples(arguments),
    env=st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), arguments, max_size=2),
    workdir=st.none() | arguments.map("/".__add__),
    resources=st.builds(
        Resources,
        cpus=st.floats(0.01, 4096),
        memory_bytes=st.integers(6 << 20, MOST_BYTES),
        disk_bytes=sizes,
        pids=st.integers(1, 1 << 20),
    ),
    grants=st.builds(
        Grants,
        network=st.booleans(),
        capabilities=tuples(st.sampled_from(["NET_RAW", "SYS_PTRACE"])),
        runtime=st.sampled_from(["", "runsc"]),
    ),
    timeout_s=st.floats(0.001, 86400),
    inputs=st.just(())
    | st.builds(Input, path=paths, sha256=hashes, size_bytes=sizes, folder=st.booleans()).map(
        lambda each: (each,)
    ),
    outputs=tuples(paths),
)


tolerances = st.floats(0, 0.5)
comparisons = st.builds(Comparison, by=st.sampled_from(["bytes", "text", "lines"])) | st.builds(
    Comparison,
    by=st.sampled_from(["numbers", "json"]),
    relative=tolerances,
    absolute=tolerances,
)


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    parameters = draw(
        tuples(
            st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), arguments, max_size=2)
        )
    )
    quorum = draw(st.integers(1, 9))
    replicas = draw(st.integers(quorum, 9))
    return JobSpec(
        name=draw(st.none() | names),
        container=draw(containers),
        agreement=Agreement(
            replicas=replicas, quorum=quorum, max_attempts=draw(st.integers(replicas, 20))
        ),
        priority=draw(st.integers(-1000, 1000)),
        count=len(parameters) or draw(st.integers(1, 100)),
        parameters=parameters,
    )


@st.composite
def results(draw: st.DrawFn) -> Result:
    assignment_id = draw(assignment_ids)
    giver_id = draw(giver_ids)
    task_id = identifiers.task_of(assignment_id)
    streams = st.builds(
        Stream,
        bytes=counts,
        truncated=st.booleans(),
        tail=short,
        encoding=st.sampled_from(["utf-8", "base64"]),
        sha256=st.none() | hashes,
    )
    measured = st.none() | amounts
    return Result(
        result_id=identifiers.result_id(assignment_id, giver_id),
        assignment_id=assignment_id,
        task_id=task_id,
        job_id=identifiers.job_of(task_id),
        giver_id=giver_id,
        sent_at=draw(moments),
        outcome=draw(st.sampled_from(Outcome)),
        exit_code=draw(st.none() | st.integers(-255, 255)),
        reason=draw(short),
        stdout=draw(short),
        stderr=draw(short),
        stdout_stream=draw(streams),
        stderr_stream=draw(streams),
        files=draw(tuples(st.builds(OutputFile, path=paths, size_bytes=counts, sha256=hashes))),
        exact_output=draw(st.booleans()),
        comparison=draw(comparisons),
        usage=draw(
            st.builds(
                Usage,
                wall_s=measured,
                cpu_s=measured,
                peak_memory_bytes=st.none() | counts,
                pull_s=measured,
            )
        ),
        image_digest=draw(st.none() | short),
        platform=draw(st.none() | platforms),
    )


platforms = st.builds(Platform, os=short, architecture=short)
capacities = st.builds(
    Capacity,
    cpus=st.floats(0, 1_000_000),
    memory_bytes=sizes,
    disk_bytes=sizes,
    containers=st.integers(0, 1_000_000),
)
heartbeats = st.builds(
    Heartbeat,
    giver_id=giver_ids,
    boot_id=names,
    session=names,
    sequence=st.integers(0, (1 << 62) - 1),
    interval_s=st.floats(0.1, 3600),
    state=st.sampled_from(GiverState),
    state_reason=short,
    version=short,
    owner=short,
    labels=maps,
    platform=platforms,
    capacity=capacities,
    free=capacities,
    backlog=st.integers(0, 100_000),
    policy=st.none()
    | st.builds(
        Policy,
        network=st.booleans(),
        images=tuples(st.sampled_from(["*", "ghcr.io/alice/*"]), least=1),
        cpus=st.none() | st.floats(0.01, 4096),
        memory_bytes=st.none() | sizes,
    ),
    images=tuples(short),
    pulls=tuples(
        st.builds(Pull, image=short, done_bytes=sizes, total_bytes=sizes),
    ),
    inventory=tuples(
        st.builds(
            Held,
            assignment_id=assignment_ids,
            state=st.sampled_from(AssignmentState),
            progress=st.none() | st.builds(Progress, fraction=st.floats(0, 1), note=short),
        )
    ),
    refusals=tuples(st.builds(Refusal, assignment_id=assignment_ids, reason=short)),
)

MESSAGES: dict[type[Message], st.SearchStrategy[Any]] = {
    Submission: st.builds(Submission, job_id=job_ids, submitted_at=moments, spec=specs()),
    Command: st.builds(
        Command,
        action=st.just("cancel"),
        target=job_ids | task_ids,
        reason=st.text(max_size=500),
        issued_at=moments,
    ),
    Dispatch: st.builds(
        Dispatch,
        giver_id=giver_ids,
        assignments=tuples(
            st.builds(
                Assignment,
                assignment_id=assignment_ids,
                task_id=task_ids,
                job_id=job_ids,
                container=containers,
                comparison=comparisons,
                data=st.none() | st.builds(DataAccess, inputs=tuples(short), outputs=short),
            ),
            least=1,
        ),
    ),
    CancelAssignments: st.builds(CancelAssignments, assignment_ids=tuples(assignment_ids, least=1)),
    StreamLogs: st.builds(
        StreamLogs,
        assignment_id=assignment_ids,
        follower=st.from_regex(r"[a-z0-9]{1,64}", fullmatch=True),
        duration_s=st.floats(0.1, 120),
        lines=st.integers(0, 1_000_000),
        follow=st.booleans(),
    ),
    LogChunk: st.builds(
        LogChunk,
        assignment_id=assignment_ids,
        giver_id=giver_ids,
        stream=st.sampled_from(["stdout", "stderr"]),
        text=short,
        dropped_bytes=counts,
        end=st.booleans(),
    ),
    Heartbeat: heartbeats,
    Result: results(),
    StoredBatch: st.builds(
        StoredBatch,
        results=tuples(
            st.builds(
                StoredResult,
                result_id=names,
                assignment_id=assignment_ids,
                task_id=task_ids,
                job_id=job_ids,
                giver_id=giver_ids,
                outcome=st.sampled_from(Outcome),
                exit_code=st.none() | st.integers(-255, 255),
                reason=short,
                digest=st.none() | hashes,
                comparable=st.none() | short,
                image_digest=st.none() | short,
                stored_at=moments,
            ),
            least=1,
        ),
    ),
}

any_message = st.one_of(*MESSAGES.values())
