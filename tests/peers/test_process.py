"""Ports of test processes that run beside each other."""

from __future__ import annotations

import subprocess
import sys

from tests.peers import process
from tests.peers.debian import PROJECT


def test_no_two_test_processes_take_ports_from_the_same_part() -> None:
    ours = process._own_part()
    words = [sys.executable, "-c", "from tests.peers import process; print(process._own_part())"]
    other = int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60, cwd=PROJECT).stdout)
    assert abs(other - ours) >= process._PART


def test_no_port_is_given_twice() -> None:
    ports = [process.free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    lowest = process._own_part()
    assert all(lowest <= port < lowest + process._PART for port in ports)
