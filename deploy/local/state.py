"""What a stack has started, written to `.local/stack.json` before each step."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, ValidationError

from deploy.local.errors import StackError
from deploy.local.processes import Identity, boot_id


class Endpoint(BaseModel):
    """Docker, the broker or the database: somebody else's at `url`, or our own when `private`."""

    private: bool
    url: str


class StackState(BaseModel):
    boot_id: str = Field(default_factory=boot_id)
    givers: int = 0
    docker: Endpoint | None = None
    broker: Endpoint | None = None
    mongodb: Endpoint | None = None
    artifacts_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    ports: dict[str, int] = Field(default_factory=dict)
    """Kept from `down` to `up`, so that addresses stay when nobody has taken them meanwhile."""
    services: dict[str, Identity | None] = Field(default_factory=dict)
    """`None`: about to be started, its process not known yet."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """An empty one when there is none; processes from before a reboot are forgotten.

        Raises:
            StackError: the file cannot be understood.
        """
        try:
            state = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            raise StackError(
                f"{path} is damaged: remove it ({error.error_count()} errors)"
            ) from error
        current = boot_id()
        if state.boot_id != current:
            state.boot_id = current
            state.services.clear()
        return state

    def save(self, path: Path) -> None:
        write_atomically(path, self.model_dump_json(indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old text or the new one, never a part; only the owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
