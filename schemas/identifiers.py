"""Identifiers: how they look and how one follows from the other.

    job         01JD…              a ULID, so that ids sort by time
    task        01JD…-7            the job's task with index 7
    assignment  01JD…-7-2          the second try at that task, whoever makes it
    result      01JD…-7-2@giver    what that giver says of that try

Every id can be derived again after a crash, which is what makes repeats harmless: a message sent
twice names the same thing twice. A result carries its giver, so that nobody can take the place
of another's result by sending one under its assignment.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import StringConstraints
from ulid import ULID

IMAGE_NAME = r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]*"
"""Of a container's image, as Docker takes it."""
GIVER_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
"""As DNS labels: an id becomes part of queue names, routing keys and container labels."""

DOCKER_HUB = "docker.io"

_ULID = r"[0-9A-HJKMNP-TV-Z]{26}"
_INDEX = r"(?:0|[1-9][0-9]{0,8})"
"""One way to write each number: two texts must not name the same task."""

MOST_INDEX = 999_999_999

JobId = Annotated[str, StringConstraints(pattern=rf"^{_ULID}$")]
TaskId = Annotated[str, StringConstraints(pattern=rf"^{_ULID}-{_INDEX}$")]
AssignmentId = Annotated[str, StringConstraints(pattern=rf"^{_ULID}-{_INDEX}-[1-9][0-9]{{0,5}}$")]
GiverId = Annotated[str, StringConstraints(pattern=GIVER_PATTERN)]
ResultId = Annotated[str, StringConstraints(min_length=1, max_length=160)]

_JOB = re.compile(rf"{_ULID}\Z")
_TASK = re.compile(rf"{_ULID}-{_INDEX}\Z")
_GIVER = re.compile(GIVER_PATTERN)


def new_job_id() -> str:
    """A new, time-ordered job id."""
    return str(ULID())


def new_session() -> str:
    """Names one connection of a giver: 26 characters, never used again."""
    return str(ULID()).lower()


def is_job_id(text: str) -> bool:
    return _JOB.match(text) is not None


def is_task_id(text: str) -> bool:
    return _TASK.match(text) is not None


def is_giver_id(text: str) -> bool:
    return _GIVER.fullmatch(text) is not None


def task_id(job_id: str, index: int) -> str:
    return f"{job_id}-{index}"


def assignment_id(task: str, number: int) -> str:
    """`number` counts the task's assignments from 1, across replicas and attempts."""
    return f"{task}-{number}"


def result_id(assignment: str, giver_id: str) -> str:
    return f"{assignment}@{giver_id}"


def job_of(identifier: str) -> str:
    """The job that a task, assignment or result id belongs to."""
    return identifier[:26]


def index_of(task: str) -> int:
    """The index of a task within its job."""
    return int(task[27:])


def task_of(assignment: str) -> str:
    """The task that an assignment belongs to."""
    return assignment.rpartition("-")[0]


def registry_of(image: str) -> str:
    """The host, with its port if named, that Docker pulls an image from."""
    first, slash, _ = image.partition("/")
    host = slash and (first == "localhost" or "." in first or ":" in first)
    return first if host else DOCKER_HUB
