"""Logging: one event a line, an `action` and ids with it.

`log = structlog.get_logger(__name__)`, then `log.info("task_placed", task_id=...)`. The event name
is the stable `action` that an operator can search for. Nothing secret is ever a value.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logging(level: LogLevel = "info", fmt: LogFormat | None = None) -> None:
    """Send all logs of the process to stderr; text on a terminal, JSON elsewhere unless told."""
    logging.disable(logging.NOTSET)
    chosen = fmt or ("text" if sys.stderr.isatty() else "json")
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if chosen == "text"
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("action"),
    ]
    if chosen == "text":
        # The console renderer looks for `event` and prints tracebacks itself.
        shared = shared[:3]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            renderer,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(message)s", force=True)
    # pika repeats at length what the link reports in one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    for chatty in ("httpx", "httpcore", "urllib3", "docker", "uvicorn", "pymongo"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def silence_logging() -> None:
    """For commands that answer a person: errors are told by exceptions, and nothing is logged."""
    configure_logging()
    logging.disable(logging.CRITICAL)
