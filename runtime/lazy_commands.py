"""Commands that are imported when they are called: who asks for one does not wait for all."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    def __init__(self, *arguments: Any, commands_at: Mapping[str, str], **options: Any) -> None:
        """`commands_at`: of each command, by name, its `package.module:attribute`."""
        super().__init__(*arguments, **options)
        self._at = dict(commands_at)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self._at]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        at = self._at.get(cmd_name)
        if at is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = at.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command
