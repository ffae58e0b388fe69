"""ENHANCEDSTATUSCODES: every reply says with three numbers what happened.

The codes are part of each Reply in smtp/replies.py; here is the promise that they are there.
Source: RFC 2034 §3.
"""

from __future__ import annotations

from ekiden.smtp.extension import Extension

EXTENSION = Extension(keyword="ENHANCEDSTATUSCODES", rfc=2034)
