"""The MX door: mail from other servers for our own domains. Nobody signs in here, nothing is relayed.

Source: RFC 5321 §3.3, §7.9.
"""

from __future__ import annotations

from ekiden.servers.smtp.session import Rules

MX = Rules(listener="mx", needs_login=False, mends=False, relays=False)
