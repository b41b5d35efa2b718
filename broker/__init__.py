"""AMQP on pika: one link a process, publishers with confirms, consumers that hand over batches."""

from broker.consumer import Consumer, Delivery
from broker.errors import (
    BrokerError,
    BrokerUnreachable,
    ConfirmTimeout,
    DeclarationRefused,
    LinkStopped,
    PublishError,
    Refused,
    Unroutable,
)
from broker.link import Link
from broker.publisher import Publisher

__all__ = [
    "BrokerError",
    "BrokerUnreachable",
    "ConfirmTimeout",
    "Consumer",
    "DeclarationRefused",
    "Delivery",
    "Link",
    "LinkStopped",
    "PublishError",
    "Publisher",
    "Refused",
    "Unroutable",
]
