"""Looking at a server: over HTTP at a process that runs, and at a board of several workers."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ekiden.app.metrics import Snapshot, snapshot
from ekiden.app.watch import Board, BoardThread
from ekiden.base.endpoint import Endpoint


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _numbers(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(text)
    return {(each.name, tuple(each.labels.values())): each.value for family in families for each in family.samples}


def _told(pid: int, connections: int, *reasons: str) -> object:
    taken: Snapshot = {**snapshot(), "connections_total": [[["mx"], [connections]]], "connections_open": [[["mx"], [1]]]}
    return {"pid": pid, "metrics": taken, "reasons": list(reasons)}


def _ready(board: Board) -> tuple[int, list[str]]:
    page = board.pages("/ready", "")
    assert page is not None
    return page.status, json.loads(page.body)["reasons"]


def _of(board: Board, name: str) -> float:
    page = board.pages("/metrics", "")
    assert page is not None
    return _numbers(page.body.decode())[name, ("mx",)]


def test_what_a_dead_worker_had_counted_stays_and_what_it_held_open_does_not() -> None:
    board = Board(2)
    board.hear("0", _told(100, 5))
    board.hear("1", _told(101, 7))
    before = _of(board, "ekiden_connections_total")
    board.hear("1", _told(102, 0))
    board.hear("1", _told(103, 2))
    assert _of(board, "ekiden_connections_total") - before == 2
    assert _of(board, "ekiden_connections_open") == 2 + _open_here()


def _open_here() -> float:
    rows = snapshot()["connections_open"]
    return sum(number for labels, numbers in rows if labels == ["mx"] for number in numbers)  # type: ignore[attr-defined]


def test_a_board_is_ready_when_all_workers_are_and_have_been_heard() -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    board = Board(2, monotonic=clock)
    board.hear("0", _told(1, 0))
    assert _ready(board) == (503, ["starting"])
    board.hear("1", _told(2, 0, "space"))
    assert _ready(board) == (503, ["worker 1: space"])
    board.hear("1", _told(2, 0))
    assert _ready(board) == (200, [])
    now[0] = 11.0
    board.hear("1", _told(2, 0))
    assert _ready(board) == (503, ["worker 0: silent"])
    health = board.pages("/health", "")
    assert health is not None
    assert (health.status, json.loads(health.body)["workers"]) == (200, 1)
    board.stopping = True
    assert _ready(board)[1][0] == "stopping"


@pytest.mark.parametrize("payload", [None, 7, [], {}, {"pid": "x", "metrics": {}, "reasons": []}, {"pid": 1, "metrics": [], "reasons": []}])
def test_what_is_no_report_is_passed_over(payload: object) -> None:
    board = Board(1)
    board.hear("0", payload)
    assert _ready(board) == (503, ["starting"])
    health = board.pages("/health", "")
    assert health is not None
    assert health.status == 503


def test_a_thread_shows_the_board_and_an_address_that_is_taken_is_only_logged() -> None:
    board = Board(1)
    board.hear("0", _told(1, 0))
    said: list[tuple[str, dict[str, object]]] = []

    def log(event: str, **fields: object) -> None:
        said.append((event, fields))

    first = BoardThread(board, [Endpoint("127.0.0.1", 0)], log)
    first.start()
    deadline = time.monotonic() + 10
    while not said and time.monotonic() < deadline:
        time.sleep(0.005)
    port = int(str(said[0][1]["endpoint"]).rpartition(":")[2])
    assert json.loads(_get(port, "/ready")[1])["status"] == "ready"
    second = BoardThread(board, [Endpoint("127.0.0.1", port)], log)
    second.start()
    while len(said) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert said[1][0] == "metrics-unavailable"
    second.stop()
    first.stop()
    with pytest.raises(OSError):
        _get(port, "/ready")
