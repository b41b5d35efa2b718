"""`python -m benchmarks.liars`: five givers on real Docker, one lying at random and one always.

Every task prints what only it prints, two givers have to agree, and what was chosen is compared
with what is right. Starts a stack of its own, and takes it down.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import Progress

from deploy.local.layout import CHECKOUT
from deploy.local.progress import Silent
from deploy.local.services import console_script
from deploy.local.stack import Stack
from schemas.identifiers import task_id
from seeker.client import Client
from seeker.settings import SeekerSettings

LIARS = {"giver-1": "0.3", "giver-2": "1.0"}
"""The share of their answers that are wrong."""
POLL_S = 0.5


@click.command()
@click.option("--tasks", default=500, show_default=True)
@click.option("--trust", default="quorum", show_default=True, help="quorum or adaptive")
def main(tasks: int, trust: str) -> None:
    """Exit code 1 if a wrong answer was chosen."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="seekgive-liars-") as folder:
        docker = {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
        stack = Stack(Path(folder), environ=docker)
        try:
            with console.status("start a stack with five givers"):
                start(stack)
            wrong = run(stack, tasks, trust, console)
        finally:
            with console.status("take the stack down"):
                stack.down()
    sys.exit(1 if wrong else 0)


def start(stack: Stack, givers: int = 5) -> None:
    """Bring up a stack, of whose givers two lie."""
    stack.up(Silent(), givers=givers)
    for name, lies in LIARS.items():
        stack.stop(name)
        stack.start(
            name,
            Silent(),
            environment={"BENCH_LIES": lies, "PYTHONPATH": str(CHECKOUT)},
            command=(sys.executable, "-m", "benchmarks.lying_giver"),
        )


def run(stack: Stack, tasks: int, trust: str, console: Console) -> int:
    """Print what became of so many tasks; returns how many wrong answers were chosen."""
    command = ["sh", "-c", "echo $((TASK_INDEX * TASK_INDEX))"]
    options = ["--array", f"1-{tasks}", "--trust", trust, "--cpus", "0.3", "--memory", "32MiB"]
    began = time.monotonic()
    job = ask(stack, "seeker", "enqueue", *options, "busybox:local", "--", *command)
    with Progress(console=console, transient=True) as bar:
        row = bar.add_task(f"{tasks} tasks", total=tasks)
        state: dict[str, Any] = {"state": "pending"}
        while state["state"] in ("pending", "active"):
            time.sleep(POLL_S)
            state = ask(stack, "seeker", "status", job["job_id"])
            ended = sum(state["tasks"][each] for each in ("succeeded", "failed", "cancelled"))
            bar.update(row, completed=ended)
    seconds = time.monotonic() - began
    answers = asyncio.run(collect(stack, job["job_id"], tasks))
    wrong = sum(answer.stdout != f"{index * index}\n" for index, answer in answers.items())
    votes = sum(answer.votes for answer in answers.values())
    alone = sum(answer.alone for answer in answers.values())
    disputed = sum(answer.disputed for answer in answers.values())
    console.print(
        f"{tasks} tasks in {seconds:.0f} s: {wrong} wrong answers chosen, "
        f"{votes / tasks:.2f} runs that voted a task, {alone} decided by one "
        f"trusted giver, {disputed} disputed",
        soft_wrap=True,
    )
    for giver in ask(stack, "seeker", "givers"):
        standing = giver["standing"]
        lies = next((f"lies {s}" for n, s in LIARS.items() if giver["giver_id"].startswith(n)), "")
        console.print(
            f"  {giver['giver_id']:24} {lies:10} reputation {standing['reputation']:.2f}, "
            f"{standing['lies']} votes against a majority",
            soft_wrap=True,
        )
    return wrong


class Answer(NamedTuple):
    """What a task came to."""

    stdout: str | None
    votes: int
    alone: bool
    disputed: bool


async def collect(stack: Stack, job_id: str, tasks: int) -> dict[int, Answer]:
    """By the index of the task."""
    env = stack.env
    client = Client(
        SeekerSettings(
            broker_url=env["SEEKER_BROKER_URL"],
            mongodb_url=env["SEEKER_MONGODB_URL"],
            database=env["SEEKER_DATABASE"],
            channel_url=env["SEEKER_CHANNEL_URL"],
        )
    )
    answers = {}
    async with client.store() as store:
        for index in range(1, tasks + 1):
            task = await client.task(store, task_id(job_id, index))
            chosen = task["chosen"] and await client.result(task["chosen"])
            stdout = chosen["stdout"] if chosen else None
            answers[index] = Answer(stdout, len(task["votes"]), task["alone"], task["disputed"])
    return answers


def ask(stack: Stack, command: str, *arguments: str) -> Any:
    """The JSON document that a command prints."""
    position = 1  # Behind the subcommand; what follows `--` is the container's.
    line = [console_script(command), *arguments[:position], "--json", *arguments[position:]]
    ended = subprocess.run(
        line, env={**os.environ, **stack.env}, capture_output=True, text=True, check=False
    )
    if not ended.stdout:
        raise click.ClickException(f"{' '.join(line)}: {ended.stderr}")
    return json.loads(ended.stdout)


if __name__ == "__main__":
    main()
