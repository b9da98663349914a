"""Structured logs on standard error: one event a line, JSON or console, no bodies and no personal data."""

import logging
import sys
from typing import Any

import structlog

from callweave.settings import LogSettings

_QUIET = ("aiokafka", "faust", "mode", "kafka", "aiohttp.access")
"""Libraries that tell much: only their warnings are shown."""


def configure_logs(settings: LogSettings, role: str) -> None:
    """Send structlog's and the standard library's events through one renderer."""
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        *([structlog.processors.format_exc_info] if as_json else []),
        lambda _logger, _name, event: {"role": role, **event},
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_without_narration)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_narration(record: logging.LogRecord) -> bool:
    """Drop what `mode` tells of every service's start and stop (`[^-Service]: Starting...`), in our loggers' names."""
    return record.levelno >= logging.WARNING or not str(record.msg).startswith("[^")
