"""Filling a task's parameters into its container.

`{{name}}` stands for the task's parameter of that name and `{{index}}` for its index, in the
command, the entrypoint and the values of the environment. Single braces, which shells and awk are
full of, stay as they are; so does everything in a job without parameters and with one task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from schemas.assignment import Assignment as AssignmentMessage
from schemas.job import ContainerSpec, JobSpec
from seeker.model import Assignment

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


class UnknownParameter(ValueError):
    """A placeholder names no parameter of the task; the message names both."""


def templated(spec: JobSpec) -> bool:
    return bool(spec.parameters) or spec.count > 1


def check(spec: JobSpec) -> None:
    """
    Raises:
        UnknownParameter: some task of the job could not be rendered.
    """
    if not templated(spec):
        return
    named = {
        name
        for text in (
            *spec.container.command,
            *spec.container.entrypoint,
            *spec.container.env.values(),
        )
        for name in _PLACEHOLDER.findall(text)
    } - {"index"}
    for position, values in enumerate(spec.parameters or ({},)):
        missing = sorted(named - values.keys())
        if missing:
            has = ", ".join(sorted({*values, "index"}))
            raise UnknownParameter(
                f"{{{{{missing[0]}}}}} is no parameter of task {spec.first_index + position} "
                f"(it has {has}): add it to `parameters`, or change the placeholder"
            )


def container_of(spec: JobSpec, job_id: str, index: int, task_id: str) -> ContainerSpec:
    """The container of one task. It finds its place in the job in its environment."""
    container = spec.container
    own = {"JOB_ID": job_id, "TASK_ID": task_id, "TASK_INDEX": str(index)}
    if not templated(spec):
        return container.model_copy(update={"env": {**own, **container.env}})
    values = {"index": str(index)}
    if spec.parameters:
        values.update(spec.parameters[index - spec.first_index])
    return container.model_copy(
        update={
            "command": _fill(container.command, values),
            "entrypoint": _fill(container.entrypoint, values),
            "env": {**own, **{k: _filled(v, values) for k, v in container.env.items()}},
        }
    )


def message_of(assignment: Assignment) -> AssignmentMessage:
    """What the giver gets."""
    task = assignment.task
    return AssignmentMessage.model_construct(
        assignment_id=assignment.id,
        task_id=task.id,
        job_id=task.job.id,
        container=container_of(task.job.spec, task.job.id, task.index, task.id),
    )


def _fill(texts: Iterable[str], values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_filled(text, values) for text in texts)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text) if "{{" in text else text
