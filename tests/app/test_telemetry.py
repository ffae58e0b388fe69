"""Log lines: one a line, whatever a peer says, and never a reason to wait."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import smtplib
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.app.serving import Serving

from ekiden.app.config import Log
from ekiden.app.telemetry import Sink, make_log
from ekiden.base import measures


def _raise() -> Exception:
    try:
        raise RuntimeError("trouble")
    except RuntimeError as error:
        return error


def test_json_lines_hold_what_a_peer_said_on_one_line() -> None:
    """Row RL-19, rule G6."""
    out = io.StringIO()
    make_log(Log(format="json"), out.write)("odd-peer", said="\x1b[2J\nFAKE {0.__class__} %(x)s", number=5)
    line = out.getvalue()
    assert line.count("\n") == 1
    found = json.loads(line)
    assert found["said"] == "\x1b[2J\nFAKE {0.__class__} %(x)s"
    assert (found["event"], found["level"], found["number"]) == ("odd-peer", "info", 5)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", found["at"])
    assert "\x1b" not in line


def test_text_lines_escape_control_characters_and_name_where_an_error_came_from() -> None:
    out = io.StringIO()
    make_log(Log(format="text"), out.write)("session-failed", peer="a\nb", error=_raise())
    line = out.getvalue()
    assert line.count("\n") == 1
    assert "level='error'" in line
    assert "RuntimeError: trouble" in line
    assert "test_telemetry.py" in line


def test_on_a_terminal_lines_have_colours_of_ours_and_none_of_a_peers() -> None:
    out = io.StringIO()
    log = make_log(Log(format="text"), out.write, colours=True)
    log("odd-peer", said="\x1b[2J\nFAKE", ip="192.0.2.1")
    log("session-failed", error=_raise())
    first, second, nothing = out.getvalue().split("\n")
    assert nothing == ""
    assert "\x1b[36msaid\x1b[0m='\\x1b[2J\\nFAKE'" in first
    assert "\x1b[36mip\x1b[0m=192.0.2.1" in first
    assert "\x1b[1;31merror" in second


def test_less_important_lines_can_be_left_out() -> None:
    out = io.StringIO()
    log = make_log(Log(level="error"), out.write)
    log("quiet")
    log("policy-broken")
    assert out.getvalue().count("\n") == 1


def test_a_log_that_nobody_reads_stalls_nobody_and_says_later_what_is_missing() -> None:
    """Row F-64: the pipe is full, then it is read again."""
    reading, writing = os.pipe()
    sink = Sink(writing, most=1000)
    log = make_log(Log(format="json"), sink.write)
    sink.on_room = lambda missing: log("log-lines-dropped", count=missing)
    before = measures.LOGS_DROPPED.of().value
    slowest = 0.0
    for number in range(5000):
        began = time.perf_counter()
        log("noise", number=number, text="x" * 200)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.5
    assert sink.dropped > 0
    assert measures.LOGS_DROPPED.of().value - before == sink.dropped
    read: list[bytes] = []

    def drain() -> None:
        while data := os.read(reading, 65_536):
            read.append(data)

    reader = threading.Thread(target=drain)
    reader.start()
    sink.close(patience_s=10)
    os.close(writing)
    reader.join(10)
    os.close(reading)
    lines = [json.loads(line) for line in b"".join(read).decode().split("\n") if line]
    noise = [line for line in lines if line["event"] == "noise"]
    assert len(noise) + sink.dropped == 5000
    assert [line["number"] for line in noise] == sorted(line["number"] for line in noise)
    assert sum(line["count"] for line in lines if line["event"] == "log-lines-dropped") == sink.dropped


def test_a_log_whose_reader_is_gone_counts_what_is_lost() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    sink = Sink(writing)
    sink.write("one\n")
    sink.write("two\n")
    sink.close(patience_s=10)
    os.close(writing)
    assert sink.dropped == 2


def test_the_gap_is_told_when_there_is_room_again() -> None:
    reading, writing = os.pipe()
    sink = Sink(writing, most=4)
    told = threading.Event()
    missing: list[int] = []

    def note(count: int) -> None:
        missing.append(count)
        told.set()

    sink.on_room = note
    line = "x" * 65_536 + "\n"
    for _ in range(50):
        sink.write(line)
    assert sink.dropped > 0
    drained = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reading, 1 << 20), b"")])
    drained.start()
    assert told.wait(10)
    sink.close(patience_s=10)
    os.close(writing)
    drained.join(10)
    os.close(reading)
    assert sum(missing) == sink.dropped


def test_a_log_that_stays_blocked_does_not_keep_a_process_from_ending() -> None:
    reading, writing = os.pipe()
    sink = Sink(writing)
    sink.write("x" * 1_000_000)
    began = time.monotonic()
    sink.close(patience_s=0.05)
    assert time.monotonic() - began < 5
    os.close(reading)  # the thread gets EPIPE and ends
    sink.close(patience_s=10)
    os.close(writing)


def test_a_server_whose_log_nobody_reads_takes_mail_and_ends(tmp_path: Path) -> None:
    """Row F-64, with a real server: its standard error is a pipe that is full from the start."""
    server = Serving(tmp_path)
    os.mkfifo(tmp_path / "log")
    reading = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    filling = os.open(tmp_path / "log", os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(filling, b"x" * fcntl.fcntl(filling, fcntl.F_GETPIPE_SZ))
        with pytest.raises(BlockingIOError):
            os.write(filling, b"x")
        server.start()
        for number in range(50):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
                sock.sendall(b"\x16\x03\x01 no line at all\r\n" * 30)  # something to log each time
            with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
                client.sendmail("a@client.test", ["alice@local.test"], b"Subject: %d\r\n\r\nx\r\n" % number)
        assert server.stop() == 0
    finally:
        os.close(filling)
        os.close(reading)
        if server.process is not None and server.process.poll() is None:
            server.kill()
