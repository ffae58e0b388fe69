"""ekiden message."""

from __future__ import annotations

from tests.app.calls import Calls


def test_an_unknown_message_is_told(peopled: Calls) -> None:
    assert "nothing is known about a message <x@one.test>" in peopled.fails("message", "trace", "<x@one.test>")
    assert "nothing is known" in peopled.fails("message", "trace", "0000000000000")
