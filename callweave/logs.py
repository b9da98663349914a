"""Structured logs on standard error: one event a line, JSON or console, no bodies and no personal data.

The rule: a value that we did not choose to log is not logged. So a traceback says where and what kind, never what was
said or held there; and of what libraries tell, only warnings, without the words of the exceptions in them.
"""

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

import structlog

from callweave.settings import LogSettings

_QUIET: Final = ("aiokafka", "faust", "mode", "kafka", "aiohttp.access", "aiohttp.web")
"""Libraries that tell much, keys and values of records among it: only their warnings are shown, at every level."""
_OURS: Final = frozenset({"callweave", "ingest", "schemas", "sinks", "streams"})
"""Rooms whose errors are worded with logs in mind."""
_PLAIN: Final = (OSError, asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""Errors of others that name addresses, files and numbers of errors, and no value of a record."""
_CHAIN_MAX: Final = 20

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


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
        # Before either renderer: the console's own would show what every local variable held.
        structlog.processors.ExceptionRenderer(lambda info: "\n".join(exception_lines(info[1]))),
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
    handler.addFilter(_without_values)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _tell_uncaught
    threading.excepthook = lambda args: _tell_uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def exception_lines(exc: BaseException) -> list[str]:
    """An exception and what led to it, the first cause first: kinds and places, and words only where they are ours."""
    chain: list[BaseException] = []
    current: BaseException | None = exc
    while current is not None and len(chain) < _CHAIN_MAX and all(current is not known for known in chain):
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    lines: list[str] = []
    for link in reversed(chain):
        frames = traceback.extract_tb(link.__traceback__)
        lines += [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames]
        lines.append(_named(link))
        if isinstance(link, BaseExceptionGroup):
            lines += [f"    {line}" for member in link.exceptions for line in exception_lines(member)]
    return lines


def _named(exc: BaseException) -> str:
    kind = type(exc)
    is_ours = kind.__module__.partition(".")[0] in _OURS
    return f"{kind.__qualname__}: {exc}" if is_ours or isinstance(exc, _PLAIN) else kind.__qualname__


def _without_narration(record: logging.LogRecord) -> bool:
    """Drop what `mode` tells of every service's start and stop (`[^-Service]: Starting...`), in our loggers' names."""
    return record.levelno >= logging.WARNING or not str(record.msg).startswith("[^")


def _without_values(record: logging.LogRecord) -> bool:
    """Take the words of exceptions out of what libraries say: an error may quote what it stumbled over."""
    if isinstance(record.msg, BaseException):
        record.msg = _named(record.msg)
    elif record.name == "asyncio" and isinstance(record.msg, str):
        record.msg = record.msg.partition("\n")[0]  # the next lines hold the exception's representation
    if isinstance(record.args, Mapping):
        record.args = {name: _spoken(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(_spoken(value) for value in record.args)
    return True


def _spoken(value: object) -> object:
    return _named(value) if isinstance(value, BaseException) else value


def _tell_uncaught(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    """The end of a program that nobody expected, in the same words as everything else."""
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger(__name__).critical("program_failed", exc_info=(kind, exc, trace))
