"""Replies of SMTP.

Source: RFC 5321 §4.2, RFC 3463, RFC 2034.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: three digits, perhaps an enhanced code, one or more lines.

    code: 200 … 599. lines: without code, enhanced code, CR or LF; at least one.
    """

    code: int
    enhanced: tuple[int, int, int] | None
    lines: tuple[str, ...]
