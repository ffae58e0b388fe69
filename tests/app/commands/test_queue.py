"""ekiden queue, where nothing waits; tests/app/commands/test_send.py has a queue with mail."""

from __future__ import annotations

import pytest
from tests.app.calls import Calls


def test_an_empty_queue_is_said_to_be_empty(peopled: Calls) -> None:
    assert peopled.out("queue", "list") == "the queue is empty\n"
    assert peopled.json("queue", "list") == []


@pytest.mark.parametrize("action", ["retry", "hold", "release", "drop"])
def test_an_action_needs_messages_that_are_there(peopled: Calls, action: str) -> None:
    assert "--all" in peopled.fails("queue", action, status=2)
    assert "--all" in peopled.fails("queue", action, "x", "--all", status=2)
    assert "was ever in the queue" in peopled.fails("queue", action, "<x@one.test>")
    assert peopled.json("queue", action, "--all") == {"copies": 0}
