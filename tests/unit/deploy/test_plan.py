"""What a stack consists of, and how its parts are reached."""

from __future__ import annotations

from pathlib import Path

from deploy.local.layout import Layout
from deploy.local.plan import Plan
from deploy.local.state import Endpoint, StackState


def plan(folder: Path, givers: int) -> Plan:
    somebody_elses = Endpoint(private=False, url="unix:///run/elsewhere.sock")
    state = StackState(
        givers=givers, docker=somebody_elses, broker=somebody_elses, mongodb=somebody_elses
    )
    return Plan(Layout(folder), state)


def test_the_first_giver_is_the_one_that_giver_info_asks(tmp_path: Path) -> None:
    whole = plan(tmp_path, givers=2)
    first, second = whole.givers().values()
    assert whole.variables()["GIVER_URL"] == first.url != second.url


def test_without_givers_there_is_none_to_ask(tmp_path: Path) -> None:
    assert "GIVER_URL" not in plan(tmp_path, givers=0).variables()
