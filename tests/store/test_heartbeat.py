"""The clocks of who carries the queue out."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import in_one

from ekiden.store import heartbeat
from ekiden.store.database import Tx
from ekiden.store.heartbeat import Heartbeat


def test_the_last_one_is_read_again(tmp_path: Path) -> None:
    first = Heartbeat("a boot", 5, 1_800_000_000_000, 1_700_000_000_000, ((-(2**62), 0), (7, -9)))

    def work(tx: Tx) -> None:
        assert heartbeat.last(tx) is None
        heartbeat.beat(tx, Heartbeat("", 1, 2, 3, ()))
        heartbeat.beat(tx, first)
        assert heartbeat.last(tx) == first

    in_one(tmp_path, work)


@pytest.mark.parametrize("value", ["", "[]", '{"boot": 5}'])
def test_what_another_version_wrote_is_as_none(tmp_path: Path, value: str) -> None:
    def work(tx: Tx) -> None:
        tx.run("heartbeat_put", value=value)
        assert heartbeat.last(tx) is None

    in_one(tmp_path, work)
