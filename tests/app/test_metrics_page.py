"""The page of all metrics."""

from __future__ import annotations

from ekiden.app.metrics_page import page
from ekiden.base.measures import all_measures


def test_every_metric_is_on_the_page_once() -> None:
    shown = page()
    assert [each.about.name for each in all_measures() if shown.count(f"| `ekiden_{each.about.name}` |") != 1] == []
    assert "| counter | door, code (code: 2xx, 3xx, 4xx, 5xx) |" in shown
    assert "| gauge | worker |" in shown


def test_bounds_and_answers_are_told() -> None:
    assert "0.0005, 0.001" in page()
    assert '{"status": "ready", "reasons": []}' in page()
