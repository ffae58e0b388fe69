"""What an ESMTP extension declares: its keyword, its parameters of MAIL and RCPT, its checks.

One file a feature in smtp/extensions/; the server machine reads them all once and never names one of them.
Source: RFC 5321 §2.2, §4.1.1.11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from ekiden.base.features import discover
from ekiden.smtp.replies import Reply

ParseValue = Callable[[bytes | None], object]
"""Makes a parameter's value (None: the keyword stood alone) into something better. Raises BadValue or ValueError."""


@dataclass(frozen=True, slots=True)
class View:
    """What an extension may know of the session it is asked about.

    message_bytes: the biggest message that is taken. listener: "mx", "submission", "submissions" or "lmtp".
    starttls: TLS can be started now. mechanisms: SASL mechanisms that may be used now.
    """

    message_bytes: int
    listener: str
    secure: bool = False
    starttls: bool = False
    mechanisms: tuple[str, ...] = ()


def _always(_: View) -> str:
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """One ESMTP extension.

    keyword: as EHLO shows it, upper case. rfc: the number of the RFC that defines it.
    advertise: what follows the keyword in the EHLO reply, "" for nothing, None where it is not offered now.
    mail_params, rcpt_params: parameters by keyword, upper case. A parameter of an extension that is not offered now is unknown.
    check_mail, check_rcpt: called with all parameters of the command; a Reply refuses it.
    """

    keyword: str
    rfc: int
    advertise: Callable[[View], str | None] = _always
    mail_params: Mapping[str, ParseValue] = field(default_factory=dict)
    rcpt_params: Mapping[str, ParseValue] = field(default_factory=dict)
    check_mail: Callable[[View, Mapping[str, object]], Reply | None] | None = None
    check_rcpt: Callable[[View, Mapping[str, object]], Reply | None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """All extensions as one session sees them now.

    lines: of the EHLO reply, after the first. Parameters are keyed by their keyword in upper-case bytes.
    """

    view: View
    lines: tuple[str, ...]
    mail_params: Mapping[bytes, ParseValue]
    rcpt_params: Mapping[bytes, ParseValue]
    mail_checks: tuple[Callable[[View, Mapping[str, object]], Reply | None], ...]
    rcpt_checks: tuple[Callable[[View, Mapping[str, object]], Reply | None], ...]


@lru_cache(maxsize=1)
def all_extensions() -> tuple[Extension, ...]:
    """The extensions of smtp/extensions/. Raises ConfigError if two files claim one keyword."""
    return discover("ekiden.smtp.extensions", Extension, key=lambda extension: extension.keyword)


@lru_cache(maxsize=64)
def offer(extensions: tuple[Extension, ...], view: View) -> Offer:
    """What is offered to a session, and with it which parameters are known."""
    lines: list[str] = []
    mail: dict[bytes, ParseValue] = {}
    rcpt: dict[bytes, ParseValue] = {}
    offered: list[Extension] = []
    for extension in extensions:
        words = extension.advertise(view)
        if words is None:
            continue
        offered.append(extension)
        lines.append(f"{extension.keyword} {words}" if words else extension.keyword)
        mail |= {name.encode("ascii"): parse for name, parse in extension.mail_params.items()}
        rcpt |= {name.encode("ascii"): parse for name, parse in extension.rcpt_params.items()}
    return Offer(
        view=view,
        lines=tuple(lines),
        mail_params=MappingProxyType(mail),
        rcpt_params=MappingProxyType(rcpt),
        mail_checks=tuple(each.check_mail for each in offered if each.check_mail is not None),
        rcpt_checks=tuple(each.check_rcpt for each in offered if each.check_rcpt is not None),
    )
