"""What a check of a message's origin found, in the words of RFC 8601.

Source: RFC 8601 §2.7 (results), RFC 6577 (the registries behind them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Result(Enum):
    """What one method says. TEMPERROR: nobody could tell now, which is never NONE."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One method's result, as one `resinfo` of Authentication-Results says it.

    method: "spf", "dkim", "dmarc", "arc", "iprev", "auth". about: properties in order, as "smtp.mailfrom" or "header.d", each with
    its value as text from a peer (it is quoted when it is written). because: why, for the journey and as the reason; may be "".
    """

    method: str
    result: Result
    about: Mapping[str, str] = field(default_factory=dict)
    because: str = ""
