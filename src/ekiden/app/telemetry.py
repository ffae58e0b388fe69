"""Log lines: one event a line, for people or as JSON; control characters in what peers say are escaped by the renderers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

from ekiden.app.config import Log as LogSettings
from ekiden.policy.stage import Log

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ERRORS = ("-failed", "-broken", "-fatal")


def make_log(settings: LogSettings, stream: TextIO | None = None) -> Log:
    """The log function of a process: log("event-name", field=value). Events that end in "-failed" or "-broken" are errors."""
    out = stream if stream is not None else sys.stderr
    renderer: Callable[..., Any] = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.format == "json"
        else structlog.processors.KeyValueRenderer(key_order=["at", "level", "event"])
    )
    logger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
    )

    def log(event: str, **fields: object) -> None:
        level = str(fields.pop("level", "error" if event.endswith(_ERRORS) else "info"))
        getattr(logger, level)(event, **fields)

    return log


def _exceptions(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception among the fields becomes its type, its text and, for errors of ours, where it was raised."""
    error = event.get("error")
    if isinstance(error, BaseException):
        event["error"] = f"{type(error).__name__}: {error}"
        frames = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
            trace = trace.tb_next
        event["where"] = " > ".join(frames[-6:])
    return event
