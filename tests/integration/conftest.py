"""The services that integration tests run against, named by the environment (`make test` does)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from schemas.identifiers import new_session


@pytest.fixture
def broker_url() -> Iterator[str]:
    """A virtual host of the test's own, so that tests do not see one another's queues."""
    base = os.environ.get("LOCAL_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672/")
    management = os.environ.get(
        "LOCAL_RABBITMQ_MANAGEMENT_URL", "http://guest:guest@127.0.0.1:15672"
    ).rstrip("/")
    name = f"test-{new_session()}"
    user = urlsplit(base).username or "guest"
    with httpx.Client(base_url=f"{management}/api", timeout=30) as http:
        http.put(f"/vhosts/{name}").raise_for_status()
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        http.put(f"/permissions/{name}/{user}", json=everything).raise_for_status()
        yield base.rstrip("/") + "/" + name
        http.delete(f"/vhosts/{name}")


@pytest.fixture
def mongodb_url() -> str:
    return os.environ.get("LOCAL_MONGODB_URL", "mongodb://127.0.0.1:27017/?replicaSet=rs0")
