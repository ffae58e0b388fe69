"""Verdicts are values."""

from __future__ import annotations

from ekiden.policy.verdict import Quarantine, Reject
from ekiden.smtp.replies import NOT_ALLOWED


def test_equal_verdicts_are_equal_and_junk_is_where_quarantine_goes() -> None:
    assert Reject(NOT_ALLOWED, "x") == Reject(NOT_ALLOWED, "x")
    assert Quarantine("x").mailbox == "Junk"
