"""Looking at a server: over HTTP at a process that runs, and at a board of several workers."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import smtplib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.app.serving import Serving, serving
from tests.peers.process import until

from ekiden.app.metrics import Snapshot, snapshot
from ekiden.app.watch import Board, BoardThread
from ekiden.base.endpoint import Endpoint


def _port(server: Serving) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = re.findall(r"event='metrics-served' endpoint='127\.0\.0\.1:(\d+)'", server.log())
        if found:
            return int(found[-1])
        time.sleep(0.02)
    raise AssertionError(server.log())


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _numbers(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """By name and the values of the labels, in the order of the labels' names, as the page has them."""
    families = text_string_to_metric_families(text)
    return {(each.name, tuple(each.labels.values())): each.value for family in families for each in family.samples}


def _send(server: Serving, recipient: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
        client.sendmail("a@client.test", [recipient], b"Subject: x\r\n\r\nx\r\n")


def test_a_server_tells_what_it_has_done_and_that_it_is_ready(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        port = _port(server)
        _send(server, "alice@local.test")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            _send(server, "nobody@local.test")
        numbers = _numbers(_get(port, "/metrics")[1])
        assert numbers["ekiden_messages_total", ("mx", "accepted")] == 1
        assert numbers["ekiden_connections_total", ("mx",)] >= 3  # start() was one
        assert numbers["ekiden_smtp_replies_total", ("3xx", "mx")] == 1
        assert numbers["ekiden_smtp_replies_total", ("5xx", "mx")] >= 1
        assert numbers["ekiden_messages_received_bytes_total", ("mx",)] > 10
        assert numbers["ekiden_smtp_final_reply_seconds_count", ("mx",)] == 1
        assert numbers["ekiden_store_commit_seconds_count", ()] >= 1
        assert numbers["ekiden_store_commit_functions_count", ()] == numbers["ekiden_store_commit_seconds_count", ()]
        assert numbers["ekiden_process_resident_memory_bytes", ("0",)] > 1_000_000
        assert numbers["ekiden_store_takes_mail", ("0",)] == 1
        assert _get(port, "/health") == (200, '{\n  "status": "ok",\n  "workers": 1\n}\n')
        status, ready = _get(port, "/ready")
        assert (status, json.loads(ready)) == (200, {"status": "ready", "reasons": []})
        assert _get(port, "/else")[0] == 404
        assert server.stop() == 0


def test_a_server_that_has_too_little_room_is_not_ready_but_lives(tmp_path: Path) -> None:
    with serving(tmp_path, "") as server:
        server.stop()
        config = (tmp_path / "ekiden.toml").read_text("utf-8")
        (tmp_path / "ekiden.toml").write_text(config.replace("[limits]\n", '[limits]\nfree_space = "999TB"\n'), "utf-8")
        (tmp_path / "log").unlink()
        server.start()
        port = _port(server)
        status, ready = _get(port, "/ready")
        assert (status, json.loads(ready)["reasons"]) == (503, ["space"])
        assert _get(port, "/health")[0] == 200
        assert _numbers(_get(port, "/metrics")[1])["ekiden_store_takes_mail", ("0",)] == 0


def test_the_size_of_the_store_is_that_of_its_database_wherever_it_lies_and_of_its_files(tmp_path: Path) -> None:
    other = tmp_path / "other"
    server = Serving(tmp_path, f'[store]\nurl = "sqlite://{other}/mail.db"')
    other.mkdir(mode=0o700)
    (tmp_path / "data" / "ekiden.db").rename(other / "mail.db")
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
            client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 50_000)
        assert server.stop() == 0
        (tmp_path / "log").unlink()
        server.start()
        port = _port(server)
        until(lambda: _numbers(_get(port, "/metrics")[1])["ekiden_store_blob_bytes", ()] >= 600_000, "the files are counted")
        numbers = _numbers(_get(port, "/metrics")[1])
        assert numbers["ekiden_store_blob_bytes", ()] < 700_000
        assert numbers["ekiden_store_database_bytes", ()] >= (other / "mail.db").stat().st_size > 0
        assert numbers["ekiden_store_disk_free_bytes", ()] > 0
        assert server.stop() == 0
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


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
    now = [0.0]
    board = Board(["door-1", "delivery"], monotonic=lambda: now[0])
    board.hear("delivery", _told(100, 5))
    board.hear("door-1", _told(101, 7))
    assert _of(board, "ekiden_connections_total") == 12
    board.hear("door-1", _told(102, 0))
    assert _of(board, "ekiden_connections_total") == 12
    assert _of(board, "ekiden_connections_open") == 3  # the first may still be retiring
    now[0] = 6.0
    board.hear("door-1", _told(102, 2))
    assert _of(board, "ekiden_connections_total") == 14
    assert _of(board, "ekiden_connections_open") == 2
    now[0] = 12.0
    board.hear("door-1", _told(103, 1))
    now[0] = 18.0
    assert _of(board, "ekiden_connections_total") == 15


def test_a_worker_that_retires_counts_as_long_as_it_speaks_and_its_successor_is_the_one_that_must_be_ready() -> None:
    now = [0.0]
    board = Board(["door-1"], monotonic=lambda: now[0])
    board.hear("door-1", _told(101, 7))
    now[0] = 1.0
    board.hear("door-1", _told(102, 1))
    now[0] = 20.0
    board.hear("door-1", _told(101, 8, "stopping"))
    board.hear("door-1", _told(102, 2))
    assert _of(board, "ekiden_connections_total") == 10
    assert _ready(board) == (200, [])


def test_a_worker_that_died_is_not_ready_until_its_successor_speaks() -> None:
    board = Board(["door-1"])
    board.hear("door-1", _told(1, 3))
    board.lost("door-1", 1)
    assert _ready(board) == (503, ["door-1: died"])
    board.hear("door-1", _told(2, 0))
    assert _ready(board) == (200, [])
    assert _of(board, "ekiden_connections_total") == 3


def test_a_worker_that_is_no_longer_wanted_does_not_count_for_readiness() -> None:
    board = Board(["door-1", "door-2"])
    board.hear("door-1", _told(1, 0))
    board.hear("door-2", _told(2, 0, "stopping"))
    board.expected = frozenset(["door-1"])
    assert _ready(board) == (200, [])


def test_a_board_is_ready_when_all_workers_are_and_have_been_heard() -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    board = Board(["door-1", "door-2"], monotonic=clock)
    board.hear("door-1", _told(1, 0))
    assert _ready(board) == (503, ["starting"])
    board.hear("door-2", _told(2, 0, "space"))
    assert _ready(board) == (503, ["door-2: space"])
    board.hear("door-2", _told(2, 0))
    assert _ready(board) == (200, [])
    now[0] = 11.0
    board.hear("door-2", _told(2, 0))
    assert _ready(board) == (503, ["door-1: silent"])
    health = board.pages("/health", "")
    assert health is not None
    assert (health.status, json.loads(health.body)["workers"]) == (200, 1)
    board.stopping = True
    assert _ready(board)[1][0] == "stopping"


@pytest.mark.parametrize("payload", [None, 7, [], {}, {"pid": "x", "metrics": {}, "reasons": []}, {"pid": 1, "metrics": [], "reasons": []}])
def test_what_is_no_report_is_passed_over(payload: object) -> None:
    board = Board(["door-1"])
    board.hear("door-1", payload)
    assert _ready(board) == (503, ["starting"])
    health = board.pages("/health", "")
    assert health is not None
    assert health.status == 503


def test_a_thread_shows_the_board_and_an_address_that_is_taken_is_only_logged() -> None:
    board = Board(["door-1"])
    board.hear("door-1", _told(1, 0))
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


def test_several_processes_are_shown_as_one_and_a_death_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, "processes = 2") as server:
        port = _port(server)
        _wait(lambda: _get(port, "/ready")[0] == 200)
        for _ in range(6):
            _send(server, "alice@local.test")
        _wait(lambda: _numbers(_get(port, "/metrics")[1]).get(("ekiden_messages_total", ("mx", "accepted")), 0) == 6)
        numbers = _numbers(_get(port, "/metrics")[1])
        assert numbers["ekiden_worker_starts_total", ()] == 3
        assert numbers["ekiden_worker_deaths_total", ()] == 0
        seats = {labels[0] for name, labels in numbers if name == "ekiden_process_resident_memory_bytes"}
        assert seats == {"door-1", "door-2", "delivery", "supervisor"}
        assert ("ekiden_store_takes_mail", ("supervisor",)) not in numbers
        assert json.loads(_get(port, "/health")[1])["workers"] == 3
        for pid in _children(server):
            os.kill(pid, signal.SIGKILL)
        _wait(lambda: _numbers(_get(port, "/metrics")[1])["ekiden_worker_deaths_total", ()] == 3)
        assert _numbers(_get(port, "/metrics")[1])["ekiden_messages_total", ("mx", "accepted")] == 6
        _wait(lambda: _get(port, "/ready")[0] == 200)
        assert server.stop() == 0


def _children(server: Serving) -> list[int]:
    assert server.process is not None
    shown = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text("ascii")
    return [int(word) for word in shown.split()]


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
