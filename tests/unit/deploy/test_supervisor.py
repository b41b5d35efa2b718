"""Starting services and waiting for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.local import processes
from deploy.local.errors import NotReady, ServiceFailed, StackError
from deploy.local.layout import Layout
from deploy.local.privilege import Privilege
from deploy.local.progress import Silent
from deploy.local.service import Service
from deploy.local.state import StackState
from deploy.local.supervisor import Supervisor

HERE = Privilege(granted=False)


class Script(Service):
    def __init__(self, name: str, script: str, check: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._script = script
        self._check = check

    def command(self) -> list[str]:
        return ["sh", "-c", self._script]

    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"]}

    def prepare(self) -> None:
        pass

    def check(self) -> None:
        self._check()


def never() -> None:
    raise NotReady("the tide is out")


class Bench:
    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.logs.mkdir(parents=True)
        self.state = StackState()
        self.supervisor = Supervisor(self.layout, self.state, HERE)

    def saved(self) -> StackState:
        return StackState.load(self.layout.state_file)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.supervisor.sweep()


def start(bench: Bench, *services: Service) -> None:
    bench.supervisor.start_all({service.name: service for service in services}, Silent())


def test_a_service_that_dies_is_shown_with_the_end_of_this_runs_log(bench: Bench) -> None:
    bench.layout.log("crab").write_text("an earlier run\n")
    with pytest.raises(ServiceFailed, match="crab ended at its start") as raised:
        start(bench, Script("crab", "echo no claws; exit 3", never))
    assert "no claws" in str(raised.value)
    assert "an earlier run" not in str(raised.value)


def test_a_service_that_never_answers_is_shown_with_the_reason(bench: Bench) -> None:
    service = Script("crab", "exec sleep 600", never)
    service.patience_s = 0.3
    with pytest.raises(ServiceFailed, match=r"not ready after 0 s \(the tide is out\)"):
        start(bench, service)
    assert processes.alive(bench.saved().services["crab"])


def test_a_dead_service_is_not_taken_for_ready_because_another_one_answers(bench: Bench) -> None:
    service = Script("crab", "exit 1")
    bench.supervisor.launch(service)
    assert processes.wait_until(lambda: not bench.supervisor.running("crab"), 10)
    with pytest.raises(ServiceFailed, match="ended at its start"):
        bench.supervisor.wait_ready(service, lambda _text: None)


def test_it_is_written_down_before_it_is_started(bench: Bench) -> None:
    service = Script("crab", "")
    service.command = lambda: ["no-such-program"]  # type: ignore[method-assign]
    with pytest.raises(StackError, match="cannot start no-such-program"):
        start(bench, service)
    assert bench.saved().services == {"crab": None}


def test_what_runs_is_not_started_again_and_what_died_is(bench: Bench) -> None:
    crab, shrimp = Script("crab", "exec sleep 600"), Script("shrimp", "exec sleep 600")
    start(bench, crab, shrimp)
    before = dict(bench.state.services)
    bench.supervisor.kill("crab")
    start(bench, crab, shrimp)
    assert bench.state.services["shrimp"] == before["shrimp"]
    assert bench.state.services["crab"] != before["crab"]
    assert bench.supervisor.running("crab")


def test_stopped_services_are_gone_and_forgotten(bench: Bench) -> None:
    services = {
        "crab": Script("crab", "exec sleep 600"),
        "shrimp": Script("shrimp", "exec sleep 600"),
    }
    bench.supervisor.start_all(services, Silent())
    bench.supervisor.stop_all(services, ["crab"])
    assert list(bench.saved().services) == ["shrimp"]
    assert len(processes.marked(str(bench.layout.home), HERE)) == 1


def test_a_sweep_ends_what_nobody_wrote_down(bench: Bench) -> None:
    start(bench, Script("crab", "exec sleep 600"))
    bench.state.services.clear()
    bench.supervisor.sweep()
    assert processes.marked(str(bench.layout.home), HERE) == []
