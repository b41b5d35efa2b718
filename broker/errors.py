"""The errors of this package; pika's own end here.

BrokerError
├── BrokerUnreachable        retriable, unless `permanent`: wrong password, no such vhost
│   └── DeclarationRefused   permanent: a queue or exchange exists with other settings
├── ChannelLost              retriable; stays inside this package
├── LinkStopped              permanent: used after `stop`
└── PublishError
    ├── Unroutable           permanent for that destination: no queue takes the message
    ├── Refused              the broker said no; its words are in the message
    └── ConfirmTimeout       retriable: whether the message arrived is not known
"""

from __future__ import annotations


class BrokerError(Exception):
    """Anything that goes wrong between this process and the broker."""


class BrokerUnreachable(BrokerError):
    """There is no usable connection; says which broker, why, and what to look at."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
        """Trying again does not help until somebody changes something."""


class DeclarationRefused(BrokerUnreachable):
    """The broker refuses a queue, an exchange or a binding; names it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class ChannelLost(BrokerError):
    """An amqp channel ended, alone or with its connection."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """The broker's reply code where the broker closed it, else `None`."""


class LinkStopped(BrokerError):
    """The link has been stopped, or its supervision died."""


class PublishError(BrokerError):
    """A message was not confirmed."""


class Unroutable(PublishError):
    """No queue takes messages with that exchange and routing key."""


class Refused(PublishError):
    """The broker refused the message."""


class ConfirmTimeout(PublishError):
    """No confirm within the deadline; the message may arrive all the same."""
