"""The demo fails unless all that it promises has been seen."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo.audit import Verdict
from deploy.demo.play import Course
from deploy.demo.report import Report

JOB = "01J00000000000000000000000"


def tile(*differing: str, disputed: bool = False) -> Verdict:
    return Verdict(
        task_id=f"{JOB}-3",
        chosen=f"{JOB}-3-1@giver-1",
        stdout="",
        agreeing=("giver-1",),
        differing=differing,
        disputed=disputed,
    )


GOOD = Report(
    job_id=JOB,
    verdicts=[tile(), tile("giver-3"), tile("giver-3", disputed=True)],
    course=Course(state="succeeded", settled=1, killed_at=10.0, purged_at=13.4, seconds=60.0),
    pixels=100,
    wrong_pixels=0,
    killed="giver-2",
    liar="giver-3",
    seconds=75.0,
)


def test_a_demo_that_showed_everything_has_no_problem() -> None:
    assert GOOD.problems() == []


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (replace(GOOD, wrong_pixels=1), "1 of 100 pixels are wrong"),
        (replace(GOOD, course=Course(state="failed", killed_at=1, purged_at=2)), "the job failed"),
        (replace(GOOD, course=Course(state="succeeded")), "no giver was killed"),
        (
            replace(GOOD, course=Course(state="succeeded", killed_at=1.0)),
            "giver-2 was killed, but not purged",
        ),
        (replace(GOOD, verdicts=[tile()]), "giver-3 was never caught lying"),
        (
            replace(GOOD, verdicts=[tile("giver-3"), tile("giver-2")]),
            "giver-2 is honest, but 1 of its votes lost",
        ),
    ],
    ids=["pixel", "job", "no kill", "no purge", "no lie", "honest voter"],
)
def test_whatever_is_missing_is_told(report: Report, problem: str) -> None:
    (told,) = report.problems()

    assert problem in told


def test_the_commands_name_a_tile_that_was_disagreed_about_and_can_be_copied() -> None:
    console = Console(file=StringIO(), width=40)
    env = {"CHANNEL_URL": "http://127.0.0.1:8700"}

    GOOD.print_commands(console, env, Path(".local/demo/job.yaml"))

    lines = [line.strip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    commands = {line.partition("#")[0].strip() for line in lines}
    assert {
        f"channel results {JOB}-3",
        f"curl http://127.0.0.1:8700/v1/results/{JOB}-3-1@giver-1",
        "seeker enqueue -f .local/demo/job.yaml",
    } <= commands
