"""The one shape of all that a stack starts."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Service(ABC):
    """One background process."""

    name: str
    privileged = False
    """Runs as root."""
    at_once = False
    """What comes next needs it ready; that takes no time worth showing."""
    patience_s = 60.0
    """It must be ready within that time."""
    grace_s = 15.0
    """From SIGTERM to SIGKILL."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """The whole of it, nothing is inherited."""

    @abstractmethod
    def prepare(self) -> None:
        """Make folders and configuration files; called before each start."""

    @abstractmethod
    def check(self) -> None:
        """
        Raises:
            NotReady: not yet.
        """

    @property
    def address(self) -> str:
        """For people: where it listens."""
        return ""


def bare_environment(home: str) -> dict[str, str]:
    """What a daemon needs of ours, and no setting of another one of its kind."""
    kept = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    return {
        "PATH": SYSTEM_PATH,
        "HOME": home,
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in kept if name in os.environ},
    }
