"""Flags as columns."""

from __future__ import annotations

from ekiden.store import flags


def test_flags_are_split_and_joined() -> None:
    bits, keywords = flags.split(["\\Seen", "\\DELETED", "Work", "\\Recent", "$Junk"])
    assert (bits, keywords) == (flags.SEEN | flags.DELETED, frozenset({"Work", "$Junk"}))
    assert flags.join(bits, "$Junk Work") == {"\\Seen", "\\Deleted", "Work", "$Junk"}
    assert flags.join(0, "") == frozenset()
