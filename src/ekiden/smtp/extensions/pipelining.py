"""PIPELINING: commands may come in groups, without waiting for each reply.

The server machine works that way for everyone; here is the keyword that says so.
Source: RFC 2920 §2, §3.2.
"""

from __future__ import annotations

from ekiden.smtp.extension import Extension

EXTENSION = Extension(keyword="PIPELINING", rfc=2920)
