"""What several suites share: the real services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers import RabbitMq, prepare


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
