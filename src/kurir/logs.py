"""Logging: readable on a terminal, JSON otherwise; secrets and people's data never.

Message texts are never logged, phones only by their last digits, tokens not at all: what is logged is chosen where it is
logged. What remains is Telegram's token, which stands in URLs and so in other libraries' error texts: it is cut out here.
"""

import logging
import re
import sys
from enum import StrEnum
from typing import Any, Final

import structlog

from kurir import counting
from kurir.log_flood import FloodGate

_TELEGRAM_TOKEN: Final = re.compile(r"/bot\d+:[A-Za-z0-9_-]+")
_COUNTED: Final = frozenset({"warning", "error", "critical"})
_BEARER: Final = re.compile(r"(?i)bearer\s+[A-Za-z0-9._~+/=-]{8,}")


def without_tokens(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - structlog's signature
    """Cut platform tokens out of every text of *event*."""
    for key, value in event.items():
        if isinstance(value, str) and ("/bot" in value or "earer" in value):
            event[key] = _BEARER.sub("Bearer •••", _TELEGRAM_TOKEN.sub("/bot•••", value))
    return event


def counted(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - structlog's signature
    """Count what warns or worse by its event, of which there are as many as the code has."""
    if name in _COUNTED:
        counting.LOG_LINES.add(name, str(event.get("event")))
    return event


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def set_up(level: Level = Level.INFO) -> None:
    """Send structlog and the libraries' warnings to standard error."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    terminal = sys.stderr.isatty()
    processors: list[Any] = [
        counted,
        FloodGate(),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # A traceback is text, without the values of variables: those hold credentials and people's words.
    processors.append(structlog.processors.format_exc_info)
    processors.append(without_tokens)
    processors.append(structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer())
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), format="%(levelname)s %(name)s: %(message)s")
