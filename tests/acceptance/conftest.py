"""A stack of one's own, used as a person would: through the commands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.layout import CHECKOUT
from deploy.local.stack import Stack

COMMANDS = CHECKOUT / ".venv" / "bin"


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class User:
    """Somebody at a terminal of the stack."""

    stack: Stack

    def run(self, command: str, *arguments: str, timeout_s: float = 120, **env: str) -> Answer:
        ended = subprocess.run(
            [str(COMMANDS / command), *arguments],
            env={**os.environ, **self.stack.env, **env},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert "Traceback" not in ended.stderr + ended.stdout, ended.stderr
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def enqueue(self, *arguments: str) -> str:
        """The job's id."""
        answer = self.run("seeker", "enqueue", "--json", *arguments)
        assert answer.code == 0, answer.err
        job_id: str = answer.json["job_id"]
        return job_id


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # Its own broker and database, because they get killed; Docker may be anybody's.
    docker = {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
    stack = Stack(Path(tmp_path_factory.mktemp("stack")), environ=docker)
    try:
        stack.up(givers=3)
        yield stack
    finally:
        stack.down()


@pytest.fixture
def user(stack: Stack) -> User:
    stack.up()  # Whatever an earlier test killed.
    return User(stack)
