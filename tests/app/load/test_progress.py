"""What is seen while a load runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ekiden.app.load.engine import Result
from ekiden.app.load.progress import LineBoard, RichBoard, line


def _result() -> Result:
    result = Result(accepted=50, refused=2, lost=1, in_flight=7, seconds=2.0)
    for _ in range(10):
        result.dot.add(0.004)
    return result


@pytest.mark.parametrize(("lang", "words"), [("en", "7 in flight, 3 errors"), ("ja", "送信中 7 通")])
def test_the_line_tells_how_many_how_fast_and_how_late(lang: str, words: str) -> None:
    shown = line(_result(), lang)
    assert words in shown
    assert "25" in shown
    assert "4.0" in shown


def test_without_a_terminal_there_is_a_line_every_two_seconds() -> None:
    now = [0.0]
    said: list[str] = []
    with LineBoard("en", now=lambda: now[0], say=said.append) as board:
        for tick in range(25):
            now[0] = tick * 0.25
            board.show(_result())
    assert len(said) == 3


def test_on_a_terminal_the_line_is_drawn_anew_and_taken_away_in_the_end() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200)
    with RichBoard("en", 100, console) as board:
        board.show(_result())
    assert "50 accepted" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[2K")
