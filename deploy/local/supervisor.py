"""Starts services, waits until they are ready, ends them; writes down each step before it."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence

from deploy.local import processes
from deploy.local.errors import NotReady, ServiceFailed
from deploy.local.layout import Layout
from deploy.local.privilege import Privilege
from deploy.local.processes import Identity
from deploy.local.progress import Detail, Progress
from deploy.local.service import Service
from deploy.local.state import StackState

_TITLES = {"dockerd": "Docker engine", "rabbitmq": "RabbitMQ", "mongodb": "MongoDB"}
_TAIL_LINES = 10
_POLL_S = 0.1


class Supervisor:
    def __init__(self, layout: Layout, state: StackState, privilege: Privilege) -> None:
        self._layout = layout
        self._state = state
        self._privilege = privilege
        self._log_starts: dict[str, int] = {}

    def running(self, name: str) -> Identity | None:
        """The service's process, or `None` when there is none (any more)."""
        identity = self._state.services.get(name)
        return identity if identity is not None and processes.alive(identity) else None

    def start_all(self, services: Mapping[str, Service], progress: Progress) -> None:
        """All at once, then wait for each in turn.

        Raises:
            ServiceFailed: the first that died or did not get ready.
        """
        for service in services.values():
            self.launch(service)
            if service.at_once:
                self.wait_ready(service, lambda _reason: None)
        for name, service in services.items():
            if not service.at_once:
                with progress.step(_TITLES.get(name, name)) as detail:
                    self.wait_ready(service, detail)

    def launch(
        self,
        service: Service,
        extra: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Nothing, when it runs."""
        if self.running(service.name):
            return
        service.prepare()
        log = self._layout.log(service.name)
        self._log_starts[service.name] = log.stat().st_size if log.exists() else 0
        self._record(service.name, None)
        identity = processes.spawn(
            command or service.command(),
            environment={**service.environment(), **(extra or {})},
            mark=str(self._layout.home),
            log=log,
            cwd=self._layout.root,
            privilege=self._privilege if service.privileged else None,
        )
        self._record(service.name, identity)

    def wait_ready(self, service: Service, detail: Detail) -> None:
        """
        Raises:
            ServiceFailed: it died or did not get ready in time; with the tail of its log.
        """
        deadline = time.monotonic() + service.patience_s
        while True:
            # Before the check: another process may answer in the place of a dead one.
            if not self.running(service.name):
                raise ServiceFailed(self._failure(service, "ended at its start"))
            try:
                service.check()
            except NotReady as reason:
                if time.monotonic() > deadline:
                    problem = f"is not ready after {service.patience_s:.0f} s ({reason})"
                    raise ServiceFailed(self._failure(service, problem)) from None
                detail(str(reason))
                time.sleep(_POLL_S)
            else:
                return

    def require_running(self, service: Service) -> None:
        """
        Raises:
            ServiceFailed: it has died since it was ready; with the tail of its log.
        """
        if not self.running(service.name):
            raise ServiceFailed(self._failure(service, "has died"))

    def kill(self, name: str) -> None:
        identity = self.running(name)
        if identity is not None:
            processes.kill(identity, self._privilege)

    def stop_all(self, services: Mapping[str, Service], names: Sequence[str]) -> None:
        """SIGTERM to all at once, SIGKILL to what is left after its grace; then forget them."""
        found = {name: identity for name in names if (identity := self.running(name))}
        for identity in found.values():
            self._privilege.send_signal(identity.pid, signal.SIGTERM)
        began = time.monotonic()
        for name, identity in found.items():
            grace_s = services[name].grace_s if name in services else Service.grace_s
            left_s = max(0.0, began + grace_s - time.monotonic())
            processes.stop(identity, left_s, self._privilege)
        for name in names:
            self._state.services.pop(name, None)
        self._state.save(self._layout.state_file)

    def sweep(self) -> None:
        """End what the services left behind: shims, helpers, and what was started unrecorded."""
        for identity in processes.marked(str(self._layout.home), self._privilege):
            processes.kill(identity, self._privilege)

    def _record(self, name: str, identity: Identity | None) -> None:
        self._state.services[name] = identity
        self._state.save(self._layout.state_file)

    def _failure(self, service: Service, problem: str) -> str:
        log = self._layout.log(service.name)
        text = ""
        if log.exists():
            written = log.read_bytes()[self._log_starts.get(service.name, 0) :]
            lines = written.decode(errors="replace").splitlines()[-_TAIL_LINES:]
            text = "".join(f"\n    {line[:300]}" for line in lines)
        return f"{service.name} {problem}. The end of {log}:{text or ' (nothing)'}"
