"""What a person sees while a stack starts: one line a step, with the time it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape

Detail = Callable[[str], None]
"""Shows what the running step is just doing."""


class Progress(Protocol):
    def step(self, title: str) -> AbstractContextManager[Detail]: ...

    def note(self, text: str) -> None: ...


class Silent:
    """For library use."""

    @contextmanager
    def step(self, title: str) -> Iterator[Detail]:  # noqa: ARG002
        yield lambda _text: None

    def note(self, text: str) -> None: ...


class OnConsole:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, title: str) -> Iterator[Detail]:
        began = time.monotonic()
        if not self._console.is_terminal:
            self._console.print(f"  … {escape(title)}", soft_wrap=True)
        with self._console.status(escape(title)) as status:

            def detail(text: str) -> None:
                status.update(f"{escape(title)} [dim]{escape(text[:100])}[/dim]")

            try:
                yield detail
            except BaseException:
                self._console.print(f"[red]  ✗[/red] {escape(title)}", soft_wrap=True)
                raise
        took = time.monotonic() - began
        self._console.print(
            f"[green]  ✓[/green] {escape(title)} [dim]{took:.1f} s[/dim]", soft_wrap=True
        )

    def note(self, text: str) -> None:
        self._console.print(f"    [dim]{escape(text)}[/dim]", soft_wrap=True)
