"""STARTTLS, RFC 3207 §4."""

from __future__ import annotations

from ekiden.smtp.extension import View
from ekiden.smtp.extensions.starttls import EXTENSION


def test_shown_where_tls_can_be_started() -> None:
    assert EXTENSION.advertise(View(1, "mx", starttls=True)) == ""
    assert EXTENSION.advertise(View(1, "mx")) is None
