"""Descriptors are shared out so that connections never take those of the queue and of the store."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from ekiden.app.descriptors import count_open, share_out


@pytest.mark.parametrize(
    ("limit", "connections", "deliveries"),
    [(128, 5000, 100), (256, 5000, 100), (1024, 5000, 100), (1024, 5000, 0), (4096, 5000, 100), (20_000, 5000, 100), (64, 10, 1)],
)
def test_all_shares_together_fit_into_the_limit(limit: int, connections: int, deliveries: int) -> None:
    shares = share_out(limit, 20, connections, deliveries)
    assert 1 <= shares.connections <= connections
    assert shares.files >= 1
    assert shares.deliveries <= deliveries
    assert 20 + 40 + shares.connections + shares.files + 2 * shares.deliveries <= max(limit, 66)


def test_with_enough_of_them_every_wish_is_met() -> None:
    shares = share_out(20_000, 30, 5000, 100)
    assert (shares.connections, shares.deliveries) == (5000, 100)
    assert shares.files >= 5000
    assert shares.needed == 30 + 40 + 200 + 5000 + 2500
    assert share_out(shares.needed, 30, 5000, 100).connections == 5000


def test_a_limit_that_is_low_is_shared_by_all() -> None:
    shares = share_out(128, 30, 5000, 100)
    assert shares.deliveries == 9
    assert shares.connections == 26
    assert shares.files == 13


def test_what_is_open_is_counted() -> None:
    before = count_open()
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert count_open() == before + 1
    finally:
        os.close(fd)


def test_the_limit_is_raised_as_far_as_the_system_allows() -> None:
    said = "from ekiden.app.descriptors import raise_limit as r; import resource; print(r(), *resource.getrlimit(resource.RLIMIT_NOFILE))"

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))

    done = subprocess.run([sys.executable, "-c", said], preexec_fn=few, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["200", "200", "200"]
