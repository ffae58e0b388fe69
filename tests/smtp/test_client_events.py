"""What a host announces, usable or not. Row OU-13."""

from __future__ import annotations

import pytest

from ekiden.smtp.client_events import read_capabilities
from ekiden.smtp.replies import Reply


@pytest.mark.parametrize(
    ("line", "limit"),
    [("SIZE 1000", 1000), ("size  1000", 1000), ("SIZE 0", None), ("SIZE", None), ("SIZE abc", None), ("SIZE ١", None),
     ("SIZE -1", None), ("SIZE 99999999999999999999", 99999999999999999999), ("SIZE " + "9" * 5000, None)],
)  # fmt: skip
def test_size(line: str, limit: int | None) -> None:
    assert read_capabilities(Reply(250, None, ("mx.test hello", line)), extended=True).size_limit == limit


def test_keywords() -> None:
    reply = Reply(250, None, ("mx.test hello", "auth plain  LOGIN", "AUTH NTLM", "", "ſize 1", "8bitmime"))
    found = read_capabilities(reply, extended=True)
    assert (found.name, dict(found.keywords)) == ("mx.test", {"AUTH": "plain  LOGIN", "8BITMIME": ""})
    assert found.mechanisms == ("PLAIN", "LOGIN")


def test_helo_announces_nothing() -> None:
    assert dict(read_capabilities(Reply(250, None, ("mx", "SIZE 1")), extended=False).keywords) == {}
