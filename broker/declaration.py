"""Declaring queues, exchanges and bindings, as `schemas.topology` describes them."""

from __future__ import annotations

from collections.abc import Iterable

from broker.connection import AmqpChannel
from broker.errors import ChannelLost, DeclarationRefused
from schemas.topology import Binding, Declaration, Exchange, Queue

_REMEDIES = {
    403: "give this user the permission to configure it",
    404: "declare what it refers to first",
    405: "another connection holds it exclusively; wait until that one is gone",
    406: "it exists with other settings: run the version that made it, or delete it once empty",
}


async def declare(amqp_channel: AmqpChannel, declarations: Iterable[Declaration]) -> None:
    """Declare each, in order; what exists already with the same settings stays as it is.

    Raises:
        DeclarationRefused: names what was refused, the broker's words and the remedy. The amqp
            channel is closed then.
        ChannelLost: the connection ended.
    """
    for declaration in declarations:
        try:
            await _declare(amqp_channel, declaration)
        except ChannelLost as lost:
            if lost.code is None:
                raise
            remedy = _REMEDIES.get(lost.code, "see the broker's log")
            raise DeclarationRefused(
                f"the broker refuses {describe(declaration)} ({lost}): {remedy}"
            ) from lost


async def _declare(amqp_channel: AmqpChannel, declaration: Declaration) -> None:
    match declaration:
        case Exchange(name=name, kind=kind):
            await amqp_channel.call(
                "exchange_declare", exchange=name, exchange_type=kind, durable=True
            )
        case Queue(name=name, exclusive=exclusive, arguments=arguments):
            await amqp_channel.call(
                "queue_declare",
                queue=name,
                durable=not exclusive,
                exclusive=exclusive,
                arguments=arguments,
            )
        case Binding(exchange=exchange, queue=queue, routing_key=routing_key):
            await amqp_channel.call(
                "queue_bind", queue=queue, exchange=exchange, routing_key=routing_key
            )


def describe(declaration: Declaration) -> str:
    match declaration:
        case Exchange(name=name):
            return f"exchange {name!r}"
        case Queue(name=name):
            return f"queue {name!r}"
        case Binding(exchange=exchange, queue=queue):
            return f"binding of queue {queue!r} to exchange {exchange!r}"
