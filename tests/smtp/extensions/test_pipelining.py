"""PIPELINING, RFC 2920 §2."""

from __future__ import annotations

from ekiden.smtp.extension import View
from ekiden.smtp.extensions.pipelining import EXTENSION


def test_always_shown_without_parameters() -> None:
    assert EXTENSION.advertise(View(1, "mx")) == ""
    assert not EXTENSION.mail_params
