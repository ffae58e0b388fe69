"""The sender policy: whose addresses are one's own."""

from __future__ import annotations

import pytest

from ekiden.mail.address import NULL_PATH, parse_mailbox
from ekiden.policy.builtin.sender import own, owns

OWN = frozenset({"alice@local.test", "a.l@local.test"})


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        ("alice@local.test", True),
        ("ALICE@Local.test", True),
        ("alice+tag@local.test", True),
        ("a.l@local.test", True),
        ("bob@local.test", False),
        ("alice@remote.test", False),
        ("+@local.test", False),
        ("alice", False),
    ],
)
def test_whose_address_it_is(address: str, is_own: bool) -> None:
    assert owns(address, OWN) is is_own


def test_the_null_path_is_nobodys() -> None:
    assert not own(NULL_PATH, OWN)
    assert own(parse_mailbox("alice@local.test"), OWN)
