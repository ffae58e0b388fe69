"""A load while it runs: a line that changes on a terminal, a line every two seconds elsewhere; both on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ekiden.app.load.engine import Result
from ekiden.base.texts import text

_EVERY_S = 2.0


class Board(Protocol):
    """Shows how a load goes, while it is entered."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def show(self, result: Result) -> None:
        """How it stands now."""


def line(result: Result, lang: str) -> str:
    """One line: how many, how fast, how late."""
    return text(
        "bench.so-far",
        lang,
        accepted=result.accepted,
        rate=f"{result.rate:.0f}",
        flight=result.in_flight,
        errors=result.refused + result.lost,
        p50=f"{result.dot.quantile(0.5) * 1000:.1f}",
        p99=f"{result.dot.quantile(0.99) * 1000:.1f}",
    )


class LineBoard:
    """Where nobody can overwrite a line."""

    def __init__(
        self,
        lang: str,
        *,
        now: Callable[[], float] = time.monotonic,
        say: Callable[[str], object] = lambda said: click.echo(said, err=True),
    ) -> None:
        self._lang = lang
        self._now = now
        self._say = say
        self._next = now() + _EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def show(self, result: Result) -> None:
        """A line, if the last is two seconds old."""
        if self._now() >= self._next:
            self._next += _EVERY_S
            self._say(line(result, self._lang))


class RichBoard:
    """On a terminal. total: how many messages there will be, if that is known."""

    def __init__(self, lang: str, total: int | None, console: Console | None = None) -> None:
        self._lang = lang
        columns = [BarColumn(bar_width=20), TextColumn("{task.description}")]
        self._progress = Progress(*columns, console=console or Console(stderr=True), transient=True, auto_refresh=False)
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, result: Result) -> None:
        """Draw the line anew."""
        self._progress.update(self._task, completed=result.done, description=line(result, self._lang), refresh=True)
