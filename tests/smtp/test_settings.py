"""The limits of the server are those that were decided."""

from __future__ import annotations

from ekiden.smtp.settings import ServerSettings


def test_limits_are_not_below_what_the_rfc_asks_for() -> None:
    settings = ServerSettings("mx.test")
    assert settings.command_bytes >= 512  # RFC 5321 §4.5.3.1.4
    assert settings.line_bytes >= 1000  # RFC 5321 §4.5.3.1.6
    assert settings.message_bytes >= 65_536  # RFC 5321 §4.5.3.1.7
    assert settings.recipients >= 100  # RFC 5321 §4.5.3.1.8
    assert settings.auth_bytes >= 12_288  # RFC 4954 §4
