"""What becomes of pymongo's errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from channel.store import Store, StoreUnavailable
from runtime.mongodb import MongoDatabase
from runtime.settings import SettingsError
from seeker.database import Database, StoreError, StoreUnreachable

URL = "mongodb://me:secret@127.0.0.1:1/"
NOW_NOT = [
    AutoReconnect("closed"),
    NetworkTimeout("timed out"),
    ServerSelectionTimeoutError("nobody, Timeout: 5s, Topology Description: <...>"),
    ExecutionTimeout("too slow", 50),
    BulkWriteError({"writeErrors": [{"code": 11602}, {"code": 10107}]}),
    BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}),
]
NEVER = [
    OperationFailure("Authentication failed.", 18),
    BulkWriteError({"writeErrors": [{"code": 11602}, {"code": 121}]}),
]

OUR_OWN = {
    Database: (StoreUnreachable, StoreError),
    Store: (StoreUnavailable, StoreUnavailable),
}
"""For now, and for good; the channel keeps on trying whatever it was."""


@pytest.fixture(params=[Database, Store])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[MongoDatabase]:
    made: MongoDatabase = request.param(URL, "test")
    yield made
    await made.close()


@pytest.mark.parametrize("error", [*NOW_NOT, *NEVER], ids=lambda error: str(error)[:40])
async def test_each_error_becomes_the_services_own_and_names_the_database(
    database: MongoDatabase, error: PyMongoError
) -> None:
    expected = OUR_OWN[type(database)][error in NEVER]
    with pytest.raises(expected, match=r"MongoDB at mongodb://me:\*\*\*@127\.0\.0\.1:1/") as caught:
        async with database._translated():
            raise error
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error
    assert "Topology" not in str(caught.value)


async def test_other_errors_pass_as_they_are(database: MongoDatabase) -> None:
    with pytest.raises(KeyError):
        async with database._translated():
            raise KeyError


@pytest.mark.parametrize("kind", [Database, Store])
def test_a_url_of_something_else_is_a_wrong_setting(kind: type[Database] | type[Store]) -> None:
    with pytest.raises(SettingsError, match=f"{kind.SETTING} 'postgres://me:\\*\\*\\*@host/'"):
        kind("postgres://me:secret@host/", "test")
