"""What several suites share: the real services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import debian
from tests.containers import RabbitMq, prepare

settings.register_profile("quick", max_examples=15)

OF_DEBIAN = {"rabbitmq", "machine"}
"""Fixtures that may need the tree."""


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if wanted & OF_DEBIAN and not session.config.option.collectonly:
        debian.begin()


def pytest_sessionfinish() -> None:
    debian.give_up()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMq]:
    """One node for the whole session; a test that stops it starts it again."""
    prepare()
    node = RabbitMq()
    try:
        node.start()
        yield node
    finally:
        node.remove()
