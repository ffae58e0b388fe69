"""The page for Prometheus: read by its own parser, and by promtool."""

from __future__ import annotations

import json
import math
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.peers import catalogue

from ekiden.app.metrics import Snapshot, render, snapshot
from ekiden.base import measures


def _taken(**numbers: list[list[object]]) -> Snapshot:
    return {**{name: [] for name in snapshot()}, **numbers}


def _samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_counters_and_histograms_of_processes_are_added() -> None:
    bins = [1.0] + [0.0] * len(measures.DOT_SECONDS.bounds)
    one = _taken(connections_total=[[["mx"], [3]]], smtp_final_reply_seconds=[[["mx"], [*bins, 0.0001]]])
    two = _taken(connections_total=[[["mx"], [4]], [["imap"], [1]]], smtp_final_reply_seconds=[[["mx"], [*bins, 0.0002]]])
    samples = _samples(render({"0": one, "1": two})[0])
    assert samples["ekiden_connections_total", (("door", "mx"),)] == 7
    assert samples["ekiden_connections_total", (("door", "imap"),)] == 1
    assert samples["ekiden_smtp_final_reply_seconds_count", (("door", "mx"),)] == 2
    assert samples["ekiden_smtp_final_reply_seconds_bucket", (("door", "mx"), ("le", "0.0005"))] == 2
    assert samples["ekiden_smtp_final_reply_seconds_bucket", (("door", "mx"), ("le", "+Inf"))] == 2
    assert math.isclose(samples["ekiden_smtp_final_reply_seconds_sum", (("door", "mx"),)], 0.0003)


def test_what_exists_once_is_not_added_and_what_belongs_to_a_process_names_it() -> None:
    one = _taken(queue_length=[[["due"], [5]]], process_open_fds=[[[], [10]]])
    two = _taken(queue_length=[[["due"], [6]]], process_open_fds=[[[], [20]]])
    samples = _samples(render({"0": one, "1": two})[0])
    assert samples["ekiden_queue_length", (("status", "due"),)] == 6
    assert samples["ekiden_process_open_fds", (("worker", "0"),)] == 10
    assert samples["ekiden_process_open_fds", (("worker", "1"),)] == 20


def test_rows_of_another_shape_are_left_out() -> None:
    odd = _taken(connections_total=[[["mx", "more"], [1]], [["imap"], [1, 2]], ["x"], [["pop3"], [9]]])
    samples = _samples(render({"0": odd})[0])
    assert [key for key in samples if key[0] == "ekiden_connections_total"] == [("ekiden_connections_total", (("door", "pop3"),))]


def test_a_snapshot_survives_json_and_tells_of_this_process() -> None:
    taken = snapshot()
    assert json.loads(json.dumps(taken)) == taken
    assert len(json.dumps(taken)) < 65_536
    assert measures.MEMORY.of().value > 1_000_000
    assert measures.OPEN_FILES.of().value >= 3


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    body, kind = render({"0": snapshot()}, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]
    assert len(families) > 30
    assert render({"0": snapshot()})[1].startswith("text/plain")


@pytest.mark.peer("promtool")
def test_promtool_finds_nothing_wrong() -> None:
    for door in ("mx", "imap"):
        measures.CONNECTIONS.of(door).value += 1
    measures.dots_of("mx").count(250, 0.003)
    measures.IMAP_COMMANDS.of("FETCH").observe(0.1)
    tree = catalogue.tree("promtool")
    page = render({"0": snapshot(), "1": snapshot()})[0]
    words = [str(tree.program("promtool")), "check", "metrics"]
    done = subprocess.run(words, input=page, env=tree.environment(), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    broken = page.replace(b"# TYPE ekiden_connections_total counter", b"# TYPE ekiden_connections_total gouge")
    done = subprocess.run(words, input=broken, env=tree.environment(), capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
