"""From what is known of a run to the result that is sent. Pure; nothing here guesses."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from giver.engine import Exit
from giver.output import EMPTY, Output
from schemas.assignment import Assignment
from schemas.heartbeat import Platform
from schemas.identifiers import result_id
from schemas.job import ContainerSpec
from schemas.result import OutputFile, Result, Usage
from schemas.states import Outcome

_REASON_MAX = 2000
_KILLED_CODES = {137: "SIGKILL", 143: "SIGTERM"}
_FILE_TOO_LARGE = 128 + signal.SIGXFSZ
_SHELL_CODES = {126: "the command cannot be executed", 127: "the command was not found"}

_NOT_MEASURED = Usage()


class EndedBy(Enum):
    """What made this giver end a container before its time."""

    TIMEOUT = auto()
    CANCEL = auto()
    OUTPUT = auto()
    DISK = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of an assignment."""

    outcome: Outcome
    exit_code: int | None = None
    reason: str = ""
    output: Output | None = None
    """`None`: it never ran."""
    files: tuple[OutputFile, ...] = ()
    exact_output: bool = True
    usage: Usage = _NOT_MEASURED
    image_digest: str | None = None


CANCELLED_BEFORE_START = Finding(outcome=Outcome.CANCELLED, reason="cancelled before it started")


def judge(
    end: Exit, ended_by: EndedBy | None, interrupted: bool, spec: ContainerSpec, limit: int
) -> tuple[Outcome, str]:
    """Outcome and reason of a container that ran.

    `interrupted`: Docker was away while it ran. `limit`: bytes of output allowed, on stdout and
    stderr.
    """
    code = end.code
    match ended_by:
        case EndedBy.CANCEL:
            return Outcome.CANCELLED, "cancelled while it ran"
        case EndedBy.TIMEOUT:
            return Outcome.TIMED_OUT, f"did not end within {spec.timeout_s:g} s"
        case EndedBy.OUTPUT:
            return Outcome.OUTPUT_LIMIT, f"wrote more than {limit} bytes to stdout and stderr"
        case EndedBy.DISK:
            return Outcome.OUTPUT_LIMIT, "took more disk than it may"
        case None:
            pass
    if code == 0:
        return Outcome.SUCCEEDED, ""
    if code == _FILE_TOO_LARGE and spec.outputs:
        return (
            Outcome.OUTPUT_LIMIT,
            f"wrote a file of more than its {spec.resources.disk_bytes} bytes of disk",
        )
    if interrupted:
        return (
            Outcome.INFRASTRUCTURE_ERROR,
            f"Docker went away while the container ran, which ended with exit code {code}",
        )
    if end.out_of_memory:
        return (
            Outcome.OUT_OF_MEMORY,
            f"needed more than its {spec.resources.memory_bytes} bytes of memory",
        )
    if code in _KILLED_CODES:
        return (
            Outcome.KILLED,
            f"ended by {_KILLED_CODES[code]}, sent neither by this giver nor for lack of memory",
        )
    reason = f"exit code {code}"
    if code in _SHELL_CODES:
        reason += f" ({_SHELL_CODES[code]})"
    return Outcome.FAILED, f"{reason}: {end.error}" if end.error else reason


def compose(
    finding: Finding,
    assignment: Assignment,
    giver_id: str,
    platform: Platform,
    sent_at: datetime,
) -> Result:
    """The result as it goes on the wire; its parts are ours, so they are not validated again."""
    output = finding.output
    stdout, stdout_stream = output.stdout.render() if output else EMPTY
    stderr, stderr_stream = output.stderr.render() if output else EMPTY
    return Result.model_construct(
        result_id=result_id(assignment.assignment_id, giver_id),
        assignment_id=assignment.assignment_id,
        task_id=assignment.task_id,
        job_id=assignment.job_id,
        giver_id=giver_id,
        sent_at=sent_at,
        outcome=finding.outcome,
        exit_code=finding.exit_code,
        reason=finding.reason[:_REASON_MAX],
        stdout=stdout,
        stderr=stderr,
        stdout_stream=stdout_stream,
        stderr_stream=stderr_stream,
        files=finding.files,
        exact_output=finding.exact_output,
        comparison=assignment.comparison,
        usage=finding.usage,
        image_digest=finding.image_digest,
        platform=platform,
    )
