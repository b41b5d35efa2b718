"""What a result says follows from what is known, never from a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from giver.engine import Exit
from giver.outcome import EndedBy, Finding, compose, judge
from giver.output import new_output
from schemas.assignment import Assignment
from schemas.heartbeat import Platform
from schemas.job import ContainerSpec
from schemas.result import Result
from schemas.states import Outcome

SPEC = ContainerSpec(image="i:1", timeout_s=7)
JOB = "01JD0000000000000000000000"
ASSIGNMENT = Assignment(assignment_id=f"{JOB}-3-1", task_id=f"{JOB}-3", job_id=JOB, container=SPEC)


def outcome(end: Exit, ended_by: EndedBy | None = None, interrupted: bool = False) -> Outcome:
    return judge(end, ended_by, interrupted, SPEC, 100)[0]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, Outcome.SUCCEEDED),
        (3, Outcome.FAILED),
        (139, Outcome.FAILED),
        (137, Outcome.KILLED),
        (143, Outcome.KILLED),
    ],
)
def test_an_exit_code_alone(code: int, expected: Outcome) -> None:
    assert outcome(Exit(code=code)) is expected


def test_memory_counts_only_when_the_engine_says_so_and_the_run_failed() -> None:
    assert outcome(Exit(code=137, out_of_memory=True)) is Outcome.OUT_OF_MEMORY
    assert outcome(Exit(code=1, out_of_memory=True)) is Outcome.OUT_OF_MEMORY
    assert outcome(Exit(code=0, out_of_memory=True)) is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (EndedBy.TIMEOUT, Outcome.TIMED_OUT),
        (EndedBy.CANCEL, Outcome.CANCELLED),
        (EndedBy.OUTPUT, Outcome.OUTPUT_LIMIT),
    ],
)
@pytest.mark.parametrize("code", [0, 137, 143])
def test_what_this_giver_ended_is_never_taken_for_anything_else(
    cause: EndedBy, expected: Outcome, code: int
) -> None:
    assert outcome(Exit(code=code, out_of_memory=True), cause) is expected


def test_a_failure_while_docker_was_away_is_not_the_tasks() -> None:
    assert outcome(Exit(code=1), interrupted=True) is Outcome.INFRASTRUCTURE_ERROR
    assert outcome(Exit(code=0), interrupted=True) is Outcome.SUCCEEDED


def test_reasons_name_the_number() -> None:
    assert judge(Exit(code=3), None, False, SPEC, 100)[1] == "exit code 3"
    assert "not found" in judge(Exit(code=127), None, False, SPEC, 100)[1]
    assert "7 s" in judge(Exit(code=0), EndedBy.TIMEOUT, False, SPEC, 100)[1]
    assert "100 bytes" in judge(Exit(code=0), EndedBy.OUTPUT, False, SPEC, 100)[1]


def composed(**finding: Any) -> Result:
    return compose(
        Finding(**finding),
        ASSIGNMENT,
        "giver-1",
        Platform(os="linux", architecture="amd64"),
        datetime.now(UTC),
    )


def test_a_composed_result_is_one_that_its_reader_accepts() -> None:
    output = new_output(1000, lambda: None)
    output.feed(1, b"out\xff")
    output.feed(2, b"err")
    result = composed(outcome=Outcome.FAILED, exit_code=2, reason="r" * 5000, output=output)
    again = Result.decode(result.encode())
    assert again == result
    assert again.result_id == f"{ASSIGNMENT.assignment_id}@giver-1"
    assert len(again.reason) == 2000
    assert again.stderr == "err"


def test_one_that_never_ran_is_accepted_too() -> None:
    result = composed(outcome=Outcome.CANCELLED)
    assert Result.decode(result.encode()) == result
    assert result.stdout == ""
