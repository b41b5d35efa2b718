"""The stack: bringing it up and down, as a whole or one service of it.

    stack = Stack()
    stack.up(OnConsole(), givers=3)
    subprocess.run(["seeker", "givers"], env={**os.environ, **stack.env})
    stack.kill("giver-2")
    stack.down()

Whatever is started is written down first: nothing is left behind that nobody knows of, whichever
step fails. What is done already is not done again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import docker_engine, endpoints, environment, image, packages, ports, processes
from deploy.local.errors import StackError, UnknownService
from deploy.local.layout import CHECKOUT, Layout
from deploy.local.plan import Plan
from deploy.local.privilege import Privilege
from deploy.local.progress import Progress, Silent
from deploy.local.service import Service
from deploy.local.services import GIVER_LABEL, console_script, giver_name
from deploy.local.state import StackState
from deploy.local.supervisor import Supervisor
from runtime.urls import redact

DEFAULT_GIVERS = 3
REGISTRATION_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    name: str
    state: str
    """`running`, `dead` (it should run), or `foreign` (used, but not started here)."""
    pid: int | None
    address: str
    log: Path | None


class Stack:
    def __init__(self, root: Path = CHECKOUT, environ: Mapping[str, str] | None = None) -> None:
        """
        Args:
            root: the clone; everything is kept in its `.local/`.
            environ: where the variables of `endpoints.VARIABLES` are looked up; by default the
                process's own.
        """
        self.layout = Layout(root)
        self._environ = os.environ if environ is None else environ
        self._privilege = Privilege.of_this_user()
        self._load()

    # What there is

    @property
    def env(self) -> Mapping[str, str]:
        """The variables of `.local/env`.

        Raises:
            StackError: the stack is not up.
        """
        return self._plan.variables(self._environ.get("LOCAL_RABBITMQ_MANAGEMENT_URL"))

    @property
    def giver_ids(self) -> dict[str, str]:
        """Of each giver's service (`giver-1`), the id under which the seeker knows it."""
        return {name: giver.giver_id for name, giver in self._plan.givers().items()}

    @property
    def is_up(self) -> bool:
        """Something was started or taken into use, and not yet taken down."""
        return self._state.docker is not None or bool(self._state.services)

    def status(self) -> list[ServiceStatus]:
        state = self._state
        ends = {"docker": state.docker, "rabbitmq": state.broker, "mongodb": state.mongodb}
        found = [
            ServiceStatus(name=name, state="foreign", pid=None, address=redact(end.url), log=None)
            for name, end in ends.items()
            if end is not None and not end.private
        ]
        for name, service in self._plan.all().items():
            identity = self._supervisor.running(name)
            found.append(
                ServiceStatus(
                    name=name,
                    state="running" if identity else "dead",
                    pid=identity.pid if identity else None,
                    address=redact(service.address),
                    log=self.layout.log(name),
                )
            )
        return found

    # As a whole

    def infra(self, progress: Progress | None = None, also: Sequence[str] = ()) -> None:
        """Docker, broker and database, without our own services.

        Args:
            also: programs to install when missing, as `packages.program` takes them.

        Raises:
            StackError: names the step that failed and the remedy.
        """
        with self._locked():
            self._start_infra(progress or Silent(), also)

    def up(self, progress: Progress | None = None, givers: int | None = None) -> None:
        """The whole stack; what runs is kept, what died is started again.

        Args:
            givers: how many; by default as many as before, at first three.

        Raises:
            StackError: names the step that failed and the remedy.
        """
        progress = progress or Silent()
        with self._locked():
            before = self._state.givers
            wanted = givers or before or DEFAULT_GIVERS
            self._start_infra(progress)
            self._build_image(progress)
            self._stop([giver_name(number) for number in range(wanted + 1, before + 1)])
            self._state.givers = wanted
            self._renew_ports(self._plan.own())
            self._write_env()
            self._supervisor.start_all(self._plan.own(), progress)
            self._await_registration(progress)

    def down(self, progress: Progress | None = None) -> None:
        """End everything that was started here; data stay.

        Raises:
            StackError: a process or a container cannot be removed.
        """
        progress = progress or Silent()
        with self._locked():
            if self._state.services:
                with progress.step("stop the givers, the seeker and the channel"):
                    self._stop([name for name in self._state.services if name.startswith("giver-")])
                    self._stop(["seeker"])
                    self._stop(["channel"])
                self._remove_containers()
                with progress.step("stop Docker, RabbitMQ and MongoDB where they are private"):
                    self._stop(["dockerd", "rabbitmq", "mongodb"])
                    self._stop(list(self._state.services))
            self._supervisor.sweep()
            docker_engine.unmount_all([self.layout.home, self.layout.run_dir], self._privilege)
            self._remove_tree(self.layout.run_dir)
            state = self._state
            state.docker = state.broker = state.mongodb = None
            state.givers = 0
            state.save(self.layout.state_file)
            self.layout.env_file.unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove all data of a stack that is down.

        Raises:
            StackError: it is still up.
        """
        if self.is_up:
            raise StackError("the stack is up: take it down first with `make down`")
        self._remove_tree(self.layout.home)

    # One service

    def start(
        self,
        name: str,
        progress: Progress | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Start a service unless it runs, and wait until it is ready.

        Args:
            environment: variables on top of its own, for this start.
            command: instead of its own, for this start.

        Raises:
            UnknownService: no such service here.
            ServiceFailed: it died or did not get ready.
        """
        with self._locked():
            service = self._service(name)
            with (progress or Silent()).step(f"start {name}") as detail:
                self._supervisor.launch(service, environment, command)
                self._supervisor.wait_ready(service, detail)

    def kill(self, name: str) -> None:
        """SIGKILL, as in a crash; returns when the process is gone.

        Raises:
            UnknownService: no such service here.
        """
        with self._locked():
            self._supervisor.kill(self._service(name).name)

    def stop(self, name: str) -> None:
        """SIGTERM, and SIGKILL when that takes too long.

        Raises:
            UnknownService: no such service here.
        """
        with self._locked():
            self._stop([self._service(name).name])

    def restart(self, name: str, progress: Progress | None = None) -> None:
        self.stop(name)
        self.start(name, progress)

    # Steps

    def _load(self) -> None:
        self._state = StackState.load(self.layout.state_file)
        self._plan = Plan(self.layout, self._state)
        self._supervisor = Supervisor(self.layout, self._state, self._privilege)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time; each begins with what the one before wrote."""
        self.layout.home.mkdir(parents=True, exist_ok=True)
        with self.layout.lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(
                    f"another command is changing the stack in {self.layout.home}: wait for it"
                ) from None
            self._load()
            yield

    def _start_infra(self, progress: Progress, also: Sequence[str] = ()) -> None:
        state = self._state
        with progress.step("look for Docker, RabbitMQ and MongoDB"):
            own_used = state.docker is not None and state.docker.private
            docker = endpoints.docker(self._environ, self._plan.dockerd.url, own_used)
            broker = endpoints.broker(self._environ, self._plan.rabbitmq.url)
            mongodb = endpoints.mongodb(self._environ, self._plan.mongod.url)
            endpoints.require_same("Docker", state.docker, docker)
            endpoints.require_same("RabbitMQ", state.broker, broker)
            endpoints.require_same("MongoDB", state.mongodb, mongodb)
            needed = [*packages.PLAYGROUND, *(packages.program(name) for name in also)]
            needed += packages.DOCKER if docker.private else ()
            needed += packages.RABBITMQ if broker.private else ()
            needed += packages.MONGODB if mongodb.private else ()
            missing = packages.missing(needed)
        self.layout.make()
        if missing:
            with progress.step(f"install {', '.join(missing)}") as detail:
                packages.install(missing, self._privilege, self.layout.log("apt"), detail)
        if docker.private:
            endpoints.require_root(self._privilege)
        for end, what in ((docker, "Docker"), (broker, "RabbitMQ"), (mongodb, "MongoDB")):
            if not end.private:
                progress.note(f"{what}: using {redact(end.url)}")
        state.docker, state.broker, state.mongodb = docker, broker, mongodb
        self._renew_ports(self._plan.infra())
        # With the ports that they have by now.
        if broker.private:
            broker.url = self._plan.rabbitmq.url
        if mongodb.private:
            mongodb.url = self._plan.mongod.url
        state.save(self.layout.state_file)
        self._supervisor.start_all(self._plan.infra(), progress)
        self._write_env()

    def _renew_ports(self, services: Mapping[str, Service]) -> None:
        """Somebody may have taken a port while the service that had it was down."""
        for name in services:
            if not self._supervisor.running(name):
                for port in self._plan.ports_of(name):
                    if not ports.is_free(self._plan.port(port)):
                        del self._state.ports[port]
                    self._plan.port(port)

    def _write_env(self) -> None:
        self._state.save(self.layout.state_file)
        environment.write(self.layout.env_file, self.env)

    def _build_image(self, progress: Progress) -> None:
        busybox = packages.static_busybox()
        if busybox is None or self._state.docker is None:
            raise StackError("there is no static busybox: apt-get install busybox-static")
        with progress.step(f"image {image.NAME}"):
            image.build(self._state.docker.url, busybox)

    def _await_registration(self, progress: Progress) -> None:
        """
        Raises:
            StackError: a giver runs, but the seeker does not know it.
        """
        wanted = set(self.giver_ids.values())
        command = [console_script("seeker"), "givers", "--json"]

        def registered() -> bool:
            asked = subprocess.run(
                command, env={**os.environ, **self.env}, capture_output=True, check=False
            )
            if asked.returncode != 0:
                return False
            return wanted <= {giver["giver_id"] for giver in json.loads(asked.stdout)}

        with progress.step("the seeker knows its givers"):
            known = processes.wait_until(registered, REGISTRATION_PATIENCE_S)
            for service in self._plan.own().values():
                self._supervisor.require_running(service)
            if not known:
                raise StackError(
                    f"after {REGISTRATION_PATIENCE_S:.0f} s `seeker givers` does not show all of "
                    f"{', '.join(sorted(wanted))}: see {self.layout.logs}"
                )

    def _service(self, name: str) -> Service:
        services = self._plan.all()
        if name not in services:
            there = ", ".join(services) or "none, as the stack is not up"
            raise UnknownService(f"this stack runs no {name!r}; there are: {there}")
        return services[name]

    def _stop(self, names: Sequence[str]) -> None:
        self._supervisor.stop_all(self._plan.all(), names)

    def _remove_containers(self) -> None:
        """Ours; all where the engine is private, which would wait for each to end."""
        docker = self._state.docker
        if docker is not None and docker_engine.problem(docker.url) is None:
            ours = [f"{GIVER_LABEL}={giver_id}" for giver_id in self.giver_ids.values()]
            docker_engine.remove_containers(docker.url, None if docker.private else ours)

    def _remove_tree(self, folder: Path) -> None:
        """What Docker made belongs to root."""
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except PermissionError:
            self._privilege.run(["rm", "-rf", "--one-file-system", str(folder)])
