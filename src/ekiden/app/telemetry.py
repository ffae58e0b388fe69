"""Log lines: one event a line, for people or as JSON; control characters in what peers say are escaped by the renderers.

Promise: a log call never waits. Lines go into a bounded queue, a thread writes them; what does not fit, or cannot be written, is
dropped and counted, and said once there is room again. Fields: at (UTC), level, event, and what belongs to the event.
Source: reliability.md §3 (F-64).
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from ekiden.app.config import Log as LogSettings
from ekiden.base import measures
from ekiden.policy.stage import Log

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[1;31m"}
_ERRORS = ("-failed", "-broken", "-fatal")
_MOST_LINES = 10_000
_AT_ONCE = 500
_LAST_WORDS_S = 1.0

Renderer = Callable[[object, str, MutableMapping[str, Any]], str]


class Sink:
    """Writes lines to a file descriptor from a thread of its own.

    most: how many lines may wait. dropped: how many were thrown away. on_room: called in the thread, with how many lines are
    missing, when writing works again.
    """

    def __init__(self, fd: int, *, most: int = _MOST_LINES) -> None:
        self.dropped = 0
        self.on_room: Callable[[int], None] = lambda missing: None
        self._fd = fd
        self._most = most
        self._unsaid = 0
        self._counting = threading.Lock()
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Have a line written, or drop it if too many wait; returns at once."""
        if self._lines.qsize() >= self._most:
            self._drop(1)
        else:
            self._lines.put(line)

    def close(self, patience_s: float = _LAST_WORDS_S) -> None:
        """Write what waits; not longer than patience_s, because a log that nobody reads must not keep a process from ending."""
        if self._thread.is_alive():
            self._lines.put(None)
            self._thread.join(patience_s)

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._write_some([self._lines.get()])
        self._write_some([])  # what was said about a gap just now

    def _write_some(self, taken: list[str | None]) -> bool:
        """Write these and what else waits; False when asked to end."""
        with suppress(Empty):
            while len(taken) < _AT_ONCE:
                taken.append(self._lines.get_nowait())
        lines = [line for line in taken if line is not None]
        if self._put_out("".join(lines).encode("utf-8", "backslashreplace")):
            self._tell_what_is_missing()
        else:
            self._drop(len(lines))
        return None not in taken

    def _put_out(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view):]
            except BlockingIOError:  # another program has made our standard error non-blocking
                select.select([], [self._fd], [])
            except OSError:  # the disk is full, or the reader is gone
                return False
        return True

    def _drop(self, lines: int) -> None:
        with self._counting:
            self.dropped += lines
            self._unsaid += lines
            measures.LOGS_DROPPED.of().value += lines

    def _tell_what_is_missing(self) -> None:
        if self._unsaid and self._lines.qsize() < self._most // 2:
            with self._counting:
                missing, self._unsaid = self._unsaid, 0
            self.on_room(missing)


class _Lines:
    """What structlog hands finished lines to."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def msg(self, line: str) -> None:
        self._write(line + "\n")

    debug = info = warning = error = msg


def make_log(settings: LogSettings, write: Callable[[str], object] | None = None, *, colours: bool = False) -> Log:
    """The log function of a process: log("event-name", field=value). Events that end in "-failed" or "-broken" are errors.

    write: takes each line; None is standard error, without ever waiting for it, in colours where that is a terminal.
    """
    if write is None:
        sink = _standard_error()
        made = make_log(settings, sink.write, colours=sys.stderr.isatty() and "NO_COLOR" not in os.environ)
        sink.on_room = lambda missing: made("log-lines-dropped", level="warning", count=missing)
        return made
    logger = structlog.wrap_logger(
        _Lines(write),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _exceptions,
            _renderer(settings.format, colours),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
    )

    def log(event: str, **fields: object) -> None:
        level = str(fields.pop("level", "error" if event.endswith(_ERRORS) else "info"))
        getattr(logger, level)(event, **fields)

    return log


@cache
def _standard_error() -> Sink:
    """The one sink of the process, whose last words are written at its end."""
    sink = Sink(sys.stderr.fileno())
    atexit.register(sink.close)
    return sink


def _renderer(form: str, colours: bool) -> Renderer:
    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)  # type: ignore[return-value]  # it gives text, as json.dumps does
    return _coloured if colours else structlog.processors.KeyValueRenderer(key_order=["at", "level", "event"])


def _coloured(logger: object, method: str, event: Mapping[str, Any]) -> str:
    """A line for a terminal. Nothing that a peer said reaches it raw."""
    level = str(event["level"])
    words = [f"\x1b[2m{event['at']}\x1b[0m {_COLOURS.get(level, '')}{level:<7}\x1b[0m \x1b[1m{_plain(event['event'])}\x1b[0m"]
    words += [f"\x1b[36m{name}\x1b[0m={_plain(value)}" for name, value in event.items() if name not in ("at", "level", "event")]
    return " ".join(words)


def _plain(value: object) -> str:
    shown = str(value)
    return shown if shown.isprintable() and shown and " " not in shown else repr(shown)


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
