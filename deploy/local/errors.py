"""What can go wrong with a local stack.

StackError                 the message names the thing and the remedy
├── MissingRight           something must be installed or started by root, and nobody here may
├── ServiceFailed          a service died or did not get ready; carries the tail of its log
└── UnknownService         no service of that name, or one that this stack does not run itself
NotReady                   not yet: ask again
"""

from __future__ import annotations


class StackError(Exception):
    """The message names the thing and the remedy."""


class MissingRight(StackError):
    """Neither root nor `sudo` without a password; the message has the command to type."""


class ServiceFailed(StackError):
    """A service died at its start or did not get ready in time."""


class UnknownService(StackError):
    """The message lists the services there are."""


class NotReady(Exception):
    """A service that has been started does not answer yet; the message says what is missing."""
