"""What a listener, or the courier, tells its SMTP machines: names, sizes, counts.

Source: RFC 5321 §4.5.3.1 for the floors of the limits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a listener tells its machines. The counts and sizes are those of the operator's limits table.

    listener: "mx", "submission", "submissions" or "lmtp". command_bytes, auth_bytes: longest line with CRLF.
    dropped_bytes: how much of an over-long line is thrown away before the connection is closed.
    excess_bytes: how much content beyond message_bytes is read before the connection is closed.
    line_bytes: longest line of content, 0 for any. messages: per connection, 0 for any.
    errors_soft: from the how manyth 5xx on each one is delayed by error_delay_s; errors_hard: which one ends the connection.
    idle_commands: RSET, NOOP, VRFY, HELP, EHLO between two messages. refuse_early: None means on the MX door only.
    """

    hostname: str
    listener: str = "mx"
    message_bytes: int = 50_000_000
    command_bytes: int = 4096
    auth_bytes: int = 12_288
    dropped_bytes: int = 65_536
    excess_bytes: int = 1 << 20
    line_bytes: int = 65_536
    recipients: int = 1000
    messages: int = 100
    errors_soft: int = 10
    errors_hard: int = 20
    error_delay_s: float = 1.0
    idle_commands: int = 100
    refuse_early: bool | None = None
