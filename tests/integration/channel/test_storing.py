from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import pymongo
from pymongo.database import Database

from schemas.identifiers import new_job_id
from schemas.result import Result
from schemas.topology import result_key
from tests.integration.channel.conftest import Wire
from tests.integration.channel.processes import ChannelProcess, Mongod, eventually
from tests.small_disk import small_disk
from tests.unit.channel.builders import a_result

Documents = Database[dict[str, Any]]


def many(count: int) -> list[Result]:
    job = new_job_id()
    return [a_result(index, job=job) for index in range(count)]


def ids(results: list[Result]) -> set[str]:
    return {result.result_id for result in results}


def stored_ids(database: Documents) -> Counter[str]:
    return Counter(document["_id"] for document in database.results.find({}, {"_id": 1}))


async def test_a_result_delivered_ten_times_is_stored_once_and_told_every_time_the_same(
    channel: ChannelProcess, wire: Wire, database: Documents
) -> None:
    result = a_result()
    told = []
    for time in range(10):
        await wire.send([result if time == 0 else a_result(stdout=f"repetition {time}")])
        told += await wire.told_of_all([result])
    assert database.results.count_documents({}) == 1
    document = database.results.find_one()
    assert document is not None
    assert (document["_id"], document["stdout"]) == (result.result_id, "hello\n")
    assert len(told) == 10
    assert len(set(told)) == 1


async def test_a_result_ten_times_at_once_is_stored_once(
    channel: ChannelProcess, wire: Wire, database: Documents
) -> None:
    results = many(50)
    await wire.send(results * 10)
    await wire.told_of_all(results)
    assert stored_ids(database) == Counter(ids(results))


async def test_the_sender_is_kept_as_the_broker_knows_it(
    channel: ChannelProcess, wire: Wire, database: Documents
) -> None:
    await wire.send([a_result()])
    await wire.told()
    document = database.results.find_one()
    assert document is not None
    assert document["sent_by"] == wire.link.user


async def test_killed_between_insert_and_acknowledgement_all_is_stored_once_and_told(
    make_channel: Callable[..., ChannelProcess], wire: Wire, database: Documents
) -> None:
    first = make_channel()
    await first.start()
    await eventually(first.healthy)
    # Nobody can be told, so what is stored is not acknowledged, until a service declares the
    # binding again as it starts.
    wire.unbind_stored()
    results = many(20)
    await wire.send(results)

    async def stuck() -> bool:
        return bool(first.said("stored_not_told"))

    await eventually(stuck)
    before = database.results.count_documents({})
    assert before > 0
    first.kill()

    second = make_channel()
    await second.start()
    told = await wire.told_of_all(results)
    assert stored_ids(database) == Counter(ids(results))
    assert {each.result_id for each in told} == ids(results)
    metrics = (await second.get("/metrics")).text
    assert f"channel_results_duplicate_total {before}.0" in metrics


async def test_killed_again_and_again_under_load_every_result_is_stored_once_and_told(
    make_channel: Callable[..., ChannelProcess], wire: Wire, database: Documents
) -> None:
    results = many(5000)
    sending = asyncio.create_task(wire.send(results))
    hearing = asyncio.create_task(wire.told_of_all(results))
    for kill_after in (500, 1500, 3000):
        process = make_channel()
        await process.start()

        async def enough(least: int = kill_after) -> bool:
            return database.results.estimated_document_count() >= least

        await eventually(enough)
        process.kill()
        assert not hearing.done()
    last = make_channel()
    await last.start()
    await sending
    await hearing
    assert stored_ids(database) == Counter(ids(results))

    async def acknowledged() -> bool:
        return wire.waiting() == 0

    await eventually(acknowledged)
    assert last.stop() == 0
    assert wire.waiting() == 0


async def test_two_services_share_the_queue(
    make_channel: Callable[..., ChannelProcess], wire: Wire, database: Documents
) -> None:
    services = [make_channel(), make_channel()]
    for service in services:
        await service.start()
        await eventually(service.healthy)
    results = many(2000)
    await wire.send(results + results)
    await wire.told_of_all(results)
    assert stored_ids(database) == Counter(ids(results))
    for service in services:
        assert "channel_batch_results_count 0.0" not in (await service.get("/metrics")).text


async def test_what_is_malformed_is_quarantined_with_the_reason_and_the_rest_flows(
    channel: ChannelProcess, wire: Wire, database: Documents
) -> None:
    good = a_result(0)
    task = good.task_id
    foreign = a_result(1, result_id="somebody-elses")
    misplaced = a_result(2)
    unstorable = a_result(3, exit_code=1 << 70)
    malformed = {
        b"\xffnonsense": f"giver-1.{task}",
        b"{}": f"giver-1.{task}",
        foreign.encode(): result_key("giver-1", foreign.task_id),
        misplaced.encode(): result_key("giver-2", misplaced.task_id),
        unstorable.encode(): result_key("giver-1", unstorable.task_id),
    }
    for body, routing_key in malformed.items():
        await wire.send_raw(body, routing_key)
    await wire.send([good])
    (told,) = await wire.told_of_all([good])
    assert told.result_id == good.result_id
    quarantine: list[tuple[dict[str, Any], bytes]] = []

    async def quarantined() -> bool:
        quarantine.extend(wire.dead())
        return len(quarantine) >= len(malformed)

    await eventually(quarantined)
    reasons = {body: headers["x-error"] for headers, body in quarantine}
    assert reasons.keys() == malformed.keys()
    assert "result_id: Field required" in reasons[b"{}"]
    assert "result_id: 'somebody-elses' does not follow" in reasons[foreign.encode()]
    assert "came under 'giver-2." in reasons[misplaced.encode()]
    assert "cannot be stored" in reasons[unstorable.encode()]
    for headers, body in quarantine:
        assert headers["x-queue"] == "channel.results"
        assert headers["x-routing-key"] == malformed[body]
    assert stored_ids(database) == Counter([good.result_id])

    # Once more through the whole line, so that all before it is acknowledged.
    last = a_result(4)
    await wire.send([last])
    await wire.told_of_all([last])
    assert channel.stop() == 0
    assert wire.waiting() == 0


async def test_while_the_database_hangs_results_wait_and_then_are_stored(
    make_channel: Callable[..., ChannelProcess], wire: Wire, mongod: Mongod
) -> None:
    channel = make_channel(mongod.url)
    await channel.start()
    await eventually(channel.healthy)
    mongod.freeze()
    results = many(2000)
    hearing = asyncio.create_task(wire.told_of_all(results))
    await wire.send(results)
    health = await channel.get("/healthz")
    assert health.status_code == 503
    assert mongod.url in health.json()["mongodb"]
    answer = await channel.get(f"/v1/tasks/{results[0].task_id}/results")
    assert answer.status_code == 503
    assert mongod.url in answer.json()["detail"]
    # No more is taken than fits into memory: the rest waits in the broker.
    assert wire.waiting() >= 1000
    assert not hearing.done()
    mongod.thaw()
    told = await asyncio.wait_for(hearing, 60)
    assert {each.result_id for each in told} == ids(results)
    assert wire.dead() == []
    await eventually(channel.healthy)


async def test_without_a_database_the_service_stays_up_and_goes_on_when_it_comes(
    make_channel: Callable[..., ChannelProcess], wire: Wire, mongod: Mongod
) -> None:
    mongod.kill()
    channel = make_channel(mongod.url)
    await channel.start()
    results = many(50)
    await wire.send(results)

    async def complains() -> bool:
        return bool(channel.said("results_not_stored"))

    await eventually(complains)
    assert not await channel.healthy()
    await mongod.start()
    await asyncio.wait_for(wire.told_of_all(results), 60)
    mongod.kill()
    more = many(50)
    await wire.send(more)
    await mongod.start()
    await asyncio.wait_for(wire.told_of_all(more), 60)
    answer = await channel.get(f"/v1/jobs/{more[0].job_id}/results")
    assert len(answer.json()) == 50


async def test_what_the_databases_full_disk_has_no_room_for_waits_until_it_has(
    make_channel: Callable[..., ChannelProcess], wire: Wire, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", megabytes=1024) as disk:
        mongod = Mongod(tmp_path, disk.folder)
        await mongod.start()
        channel = make_channel(mongod.url)
        try:
            await channel.start()
            await eventually(channel.healthy)
            early = many(50)
            await wire.send(early)
            await wire.told_of_all(early)
            disk.fill()
            # Such as do not fit into what the database has set aside for its journal.
            late = [a_result(index, stdout=token_hex(30_000)) for index in range(3000)]
            hearing = asyncio.create_task(wire.told_of_all(late))
            await wire.send(late)

            async def database_is_down() -> bool:
                return not mongod.running

            await eventually(database_is_down)
            assert not await channel.healthy()
            assert not hearing.done()
            disk.make_room()
            await mongod.start()
            told = await asyncio.wait_for(hearing, 120)
            assert {each.result_id for each in told} == ids(late)
            with pymongo.MongoClient(mongod.url) as client:
                found = stored_ids(client[channel.database])
            assert found == Counter(ids(early + late))
            assert wire.dead() == []
        finally:
            channel.end()
            mongod.end()
