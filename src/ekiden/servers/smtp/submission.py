"""The submission doors: mail from our own people, who sign in first and may then write to anybody.

Source: RFC 6409, RFC 8314 §3.3.
"""

from __future__ import annotations

from ekiden.servers.smtp.session import Rules

SUBMISSION = Rules(listener="submission", needs_login=True, mends=True, relays=True)
SUBMISSIONS = Rules(listener="submissions", needs_login=True, mends=True, relays=True)
