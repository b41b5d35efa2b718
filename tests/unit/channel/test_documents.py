from __future__ import annotations

from datetime import UTC

import bson
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from channel import documents
from channel.documents import Document
from schemas import digests
from schemas.heartbeat import Heartbeat
from schemas.result import OutputFile, Result
from tests.unit.channel.builders import NOON, a_result
from tests.unit.schemas.messages import heartbeats, results

senders = st.none() | st.just("someone")


def through_the_database(document: Document) -> Document:
    options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
    return bson.decode(bson.encode(document), options)


@given(results(), senders)
def test_a_result_comes_back_from_the_database_as_it_was_sent(
    result: Result, sender: str | None
) -> None:
    document = documents.from_result(result, sender, NOON)
    assert document["_id"] == result.result_id
    kept = documents.to_result(through_the_database(document))
    sent = {**result.model_dump(), "sent_at": documents.whole_milliseconds(result.sent_at)}
    found = {
        "digest": digests.digest(result),
        "comparable": digests.comparable(result),
        "files_digest": digests.files_digest(result),
    }
    assert kept.model_dump() == {**sent, **found, "stored_at": NOON, "sent_by": sender}


def test_a_giver_that_never_left_its_files_is_not_heard() -> None:
    left, absent = ("a" * 64, "b" * 64)
    files = tuple(OutputFile(path=sha, size_bytes=1, sha256=sha) for sha in (left, absent))
    result = a_result().model_copy(update={"files": files})
    assert documents.from_result(result, None, NOON, absent=set())["digest"] is not None
    assert documents.from_result(result, None, NOON, absent={absent})["digest"] is None


@given(results())
def test_a_summary_says_the_same_whether_made_from_the_result_or_from_its_document(
    result: Result,
) -> None:
    document = documents.from_result(result, None, NOON)
    assert documents.to_summary(through_the_database(document)) == documents.to_summary(document)


def test_a_document_of_a_newer_version_is_read_by_this_one() -> None:
    document = documents.from_result(a_result(), None, NOON)
    document["from_the_future"] = 1
    assert documents.to_result(document).result_id == a_result().result_id


@given(heartbeats, senders)
def test_a_registration_comes_back_as_the_heartbeat_told_it(
    heartbeat: Heartbeat, sender: str | None
) -> None:
    told = documents.from_heartbeat(heartbeat, sender)
    stored = through_the_database({**told, "first_seen": NOON, "last_seen": NOON})
    registration = documents.to_registration(stored)
    for field in ("giver_id", "boot_id", "state", "labels", "platform", "capacity", "images"):
        assert getattr(registration, field) == getattr(heartbeat, field)
    assert registration.sent_by == sender
    assert registration.last_seen == NOON


@given(heartbeats)
def test_labels_may_have_names_that_the_database_would_not_let_a_field_have(
    heartbeat: Heartbeat,
) -> None:
    labels = {"with.dots": "a", "$dollar": "b", "nul\x00": "c", "": "d"}
    told = documents.from_heartbeat(heartbeat.model_copy(update={"labels": labels}), None)
    stored = through_the_database({**told, "first_seen": NOON, "last_seen": NOON})
    assert documents.to_registration(stored).labels == labels
