"""What the POP3 machine asks shows no secret, and says whether it wants an answer."""

from __future__ import annotations

from typing import get_args

import pytest

from ekiden.pop3.events import AuthResponse, AuthStart, Login, Pop3Event


def test_names_and_passwords_do_not_show_in_a_log() -> None:
    assert "pw" not in repr(Login("alice", b"pw"))
    assert "pw" not in repr([AuthStart("PLAIN", b"pw"), AuthResponse(b"pw")])


@pytest.mark.parametrize("event", get_args(Pop3Event))
def test_docstring_says_what_to_do(event: type) -> None:
    assert event.__doc__ is not None
    assert "Answer" in event.__doc__ or "no answer" in event.__doc__
