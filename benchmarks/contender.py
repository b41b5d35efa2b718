"""What is the same on both sides: processes that are started, warmed up, and take tasks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from benchmarks.infrastructure import Collection, Infrastructure
from benchmarks.processes import Child, cpu_s
from runtime.command_line import Failed

_POLL_S = 0.02
_WARM_UP_TASKS = 200
_SILENCE_S = 60.0
"""Without one more result for so long, tasks are lost."""


class Contender:
    """Start with `with`; all its processes are ended afterwards."""

    def __init__(
        self, infra: Infrastructure, results: Collection, succeeded: Mapping[str, Any]
    ) -> None:
        """`results` holds one document a task; of a good one `succeeded` is true."""
        self.infra = infra
        self.children: list[Child] = []
        self._results = results
        self._succeeded = succeeded
        self._producer: Child | None = None

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.children):
            child.stop()
        self.children.clear()

    def warm_up(self, how: str) -> None:
        """Code is loaded, connections are open, files have their size."""
        self.run(how, _WARM_UP_TASKS)
        self.ask("one by one", 5)

    def run(self, how: str, count: int) -> tuple[float, float]:
        """Seconds from the first submission to the last, and to the last result.

        Raises:
            Failed: a process died, or results are missing.
        """
        before = self._results.estimated_document_count()
        answer = self.ask(how, count)
        self._await(before + count)
        return answer["submitted"] - answer["began"], time.monotonic() - answer["began"]

    def one_by_one(self, count: int) -> list[float]:
        """Seconds from each submission to its result."""
        seconds: list[float] = self.ask("one by one", count)["seconds"]
        return seconds

    def ask(self, do: str, count: int) -> dict[str, Any]:
        assert self._producer is not None
        return self._producer.ask(do=do, count=count)

    def settle(self) -> None:
        """Wait for what is done after the last result."""

    def cpu(self) -> dict[str, float]:
        """Seconds that each process took so far, those of the infrastructure included."""
        found = {child.name: child.cpu_s() for child in self.children}
        for name, process in (("rabbitmq", self.infra.broker), ("mongodb", self.infra.database)):
            if process is not None:
                found[name] = cpu_s(process)
        return found

    def launch(
        self, name: str, command: list[str], environment: Mapping[str, str], talks: bool = False
    ) -> Child:
        child = Child(name, command, environment, self.infra.folder, talks)
        self.children.append(child)
        return child

    def launch_producer(
        self, name: str, command: list[str], environment: Mapping[str, str]
    ) -> dict[str, Any]:
        """Its greeting."""
        self._producer = self.launch(name, command, environment, talks=True)
        return self._producer.hear()

    def _await(self, wanted: int) -> None:
        """The cheap count first, then, as the proof, the one that a majority has."""
        seen, moved_at = 0, time.monotonic()
        while (found := self._results.estimated_document_count()) < wanted:
            if found > seen:
                seen, moved_at = found, time.monotonic()
            self._give_up_after(moved_at, found, wanted)
            time.sleep(_POLL_S)
        while (found := self._results.count_documents(self._succeeded)) < wanted:
            self._give_up_after(moved_at, found, wanted)

    def _give_up_after(self, moved_at: float, found: int, wanted: int) -> None:
        if time.monotonic() - moved_at > _SILENCE_S:
            logs = "".join(child.tail() for child in self.children)
            raise Failed(f"{wanted - found} of {wanted} results are missing{logs}")
