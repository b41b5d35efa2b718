"""How fast the host is: measured aside, kept, and measured anew when that says nothing any more."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from giver import speed
from giver.settings import GiverSettings
from giver.speed import VALID_S, fingerprint, speed_of_host
from runtime.settings import SettingsError
from schemas.heartbeat import Speed


def keep(folder: Path, **changes: Any) -> None:
    document = {
        "machine": fingerprint(),
        "measured_at": time.time() - 3600,
        "single": 7.0,
        "all_cores": 70.0,
        **changes,
    }
    (folder / "speed.json").write_text(json.dumps(document))


async def test_it_is_measured_without_holding_up_the_loop_and_then_kept(tmp_path: Path) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    heart = asyncio.create_task(beat())
    measured = await speed_of_host(tmp_path)
    heart.cancel()
    assert measured is not None
    # Any machine that runs this: a fiftieth to fifty times of the reference.
    assert 0.02 < measured.single < 50
    assert measured.all_cores > 0.5 * measured.single
    assert beats > 5
    assert await speed_of_host(tmp_path) == measured


async def test_what_was_kept_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path)
    monkeypatch.setattr(speed, "_WORKLOAD", tmp_path / "nothing")
    assert await speed_of_host(tmp_path) == Speed(single=7.0, all_cores=70.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": "another one"},
        {"measured_at": time.time() - VALID_S - 60},
        {"measured_at": time.time() + 3600},
        {"single": "fast"},
        {"single": -1.0},
    ],
)
async def test_what_does_not_hold_any_more_is_measured_again(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    keep(tmp_path, **changes)
    measured = await speed_of_host(tmp_path)
    assert measured is not None
    assert measured.single != 7.0
    assert json.loads((tmp_path / "speed.json").read_text())["single"] == measured.single


async def test_what_cannot_be_measured_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_WORKLOAD", tmp_path / "nothing")
    assert await speed_of_host(tmp_path) is None
    assert not (tmp_path / "speed.json").exists()


async def test_a_measurement_given_up_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = tmp_path / "forever.py"
    forever.write_text(f"open({str(tmp_path / 'begun')!r}, 'w').close()\nwhile True: pass\n")
    monkeypatch.setattr(speed, "_WORKLOAD", forever)
    monkeypatch.setattr(speed, "_DEADLINE_S", 1.0)
    began = time.monotonic()
    assert await speed_of_host(tmp_path) is None
    assert time.monotonic() - began < 10
    assert not [
        each for each in Path("/proc").glob("[0-9]*/cmdline") if str(forever) in _text(each)
    ]


async def test_of_several_given_up_the_last_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    async def run() -> float:
        mine = next(numbers)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(mine / 50)
            ended.append(mine)
        return 1.0

    numbers = iter(range(3))
    monkeypatch.setattr(speed, "_run", run)
    measuring = asyncio.create_task(speed._run_at_once(3))
    await asyncio.sleep(0)  # It has begun them,
    await asyncio.sleep(0)  # and they have begun.
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring
    assert ended == [0, 1, 2]


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_it_can_be_set_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVER_SPEED", "1.5, 5.25")
    settings = GiverSettings.load(broker_url="amqp://localhost")
    assert settings.speed == Speed(single=1.5, all_cores=5.25)


@pytest.mark.parametrize("wrong", ["fast", "1", "1,", "1,0", "-1,2", "1,2,3", "nan,1"])
def test_nonsense_set_by_hand_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("GIVER_SPEED", wrong)
    with pytest.raises(SettingsError, match=r"GIVER_SPEED=.*SINGLE,ALL"):
        GiverSettings.load(broker_url="amqp://localhost")
