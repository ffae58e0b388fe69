"""ENHANCEDSTATUSCODES, RFC 2034 §3; the codes themselves are tested with the catalogue."""

from __future__ import annotations

from ekiden.smtp.extension import View
from ekiden.smtp.extensions.enhancedcodes import EXTENSION


def test_always_shown_without_parameters() -> None:
    assert EXTENSION.advertise(View(1, "mx")) == ""
    assert not EXTENSION.mail_params
