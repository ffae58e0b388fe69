"""Counting: cells, bins, and names that Prometheus takes."""

from __future__ import annotations

import re

import pytest

from ekiden.base import measures
from ekiden.base.measures import About, Bins, Counter, Histogram, all_measures


def test_a_cell_is_the_same_whoever_asks_for_it() -> None:
    counter = Counter(About("odd_total", "Odd.", ("door",)))
    counter.of("mx").value += 2
    assert counter.of("mx").value == 2
    assert counter.of("imap").value == 0


@pytest.mark.parametrize("measure", [Counter(About("a_total", "A.", ("door",))), Histogram(About("b", "B.", ("door",)), (1.0,))])
def test_labels_must_be_those_that_were_declared(measure: Counter | Histogram) -> None:
    with pytest.raises(ValueError):
        measure.of()
    with pytest.raises(ValueError):
        measure.of("mx", "more")


@pytest.mark.parametrize(("quantity", "place"), [(0.5, 0), (1.0, 0), (1.1, 1), (2.0, 1), (9.0, 2)])
def test_a_quantity_falls_into_one_bin(quantity: float, place: int) -> None:
    bins = Bins((1.0, 2.0))
    bins.observe(quantity)
    assert [number for number, count in enumerate(bins.counts) if count] == [place]
    assert bins.total == quantity


def test_a_measure_without_labels_is_there_from_the_start() -> None:
    assert () in Counter(About("a_total", "A.")).cells
    assert () in Histogram(About("b", "B."), (1.0,)).cells


def test_names_follow_the_rules_of_prometheus() -> None:
    found = list(all_measures())
    names = [each.about.name for each in found]
    assert len(found) > 30
    assert len(set(names)) == len(names)
    for each in found:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", each.about.name)
        assert each.about.name.endswith("_total") is (each.kind == "counter"), each.about.name
        assert each.about.doc.endswith("."), each.about.name
        assert not {"le", "quantile", "worker"} & set(each.about.labels)


def test_replies_are_counted_by_their_first_digit() -> None:
    cells = measures.code_cells("test-door")
    before = measures.SMTP_REPLIES.of("test-door", "4xx").value
    cells[452 // 100].value += 1
    assert measures.SMTP_REPLIES.of("test-door", "4xx").value == before + 1


@pytest.mark.parametrize(("code", "result"), [(250, "accepted"), (452, "deferred"), (554, "refused")])
def test_a_dot_is_counted_by_its_reply_and_its_time(code: int, result: str) -> None:
    before = measures.MESSAGES.of("test-door", result).value
    seen = sum(measures.DOT_SECONDS.of("test-door").counts)
    measures.dots_of("test-door").count(code, 0.01)
    assert measures.MESSAGES.of("test-door", result).value == before + 1
    assert sum(measures.DOT_SECONDS.of("test-door").counts) == seen + 1
