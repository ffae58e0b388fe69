"""The Received-SPF field: what the SPF check found, for those who read headers by machine.

Pure. Every value that a peer or a record has a part in is a quoted string of printable ASCII, cut to a bound, or a dot-atom; no line
is longer than 78 characters unless one value is.
Source: RFC 7208 §9.1, RFC 5322 §3.2.
"""

from __future__ import annotations

import re

from ekiden.base.errors import BadValue
from ekiden.mail.address import Ip, Path, format_path
from ekiden.mail.trace import comment
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf import SpfOutcome

_LINE = 78
_VALUE_MAX = 320  # a mailbox is at most 64 + 1 + 255
_PROBLEM_MAX = 200
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*")
_UNPRINTABLE = re.compile(r"[^ -~]")
_TO_QUOTE = re.compile(r'(["\\])')
_SAID = {
    Result.PASS: "domain of {domain} designates {ip} as permitted sender",
    Result.FAIL: "domain of {domain} does not designate {ip} as permitted sender",
    Result.SOFTFAIL: "transitioning domain of {domain} does not designate {ip} as permitted sender",
    Result.NEUTRAL: "{ip} is neither permitted nor denied by domain of {domain}",
    Result.NONE: "domain of {domain} does not designate permitted sender hosts",
    Result.TEMPERROR: "the DNS of {domain} could not be asked",
    Result.PERMERROR: "the SPF record of {domain} cannot be used",
}


def received_spf(outcome: SpfOutcome, *, ip: Ip, helo: str, sender: Path, receiver: str) -> bytes:
    """One Received-SPF field, folded, with its final CRLF; it goes above the Received field (RFC 7208 §9.1).

    ip, helo, sender: as they were given to the check. receiver: our host name. A result that SPF does not have is refused: BadValue.
    """
    if outcome.result not in _SAID:
        raise BadValue("SPF result", outcome.result.value)
    said = _SAID[outcome.result].format(domain=_domain(outcome), ip=ip)
    words = [f"Received-SPF: {outcome.result.value}", *f"({comment(receiver)}: {said})".split(" ")]
    pairs = [("receiver", receiver), ("client-ip", str(ip)), ("identity", outcome.identity)]
    if sender.host is not None:
        pairs.append(("envelope-from", format_path(sender)))
    pairs.append(("helo", helo))
    if outcome.result in (Result.TEMPERROR, Result.PERMERROR):
        pairs.append(("problem", outcome.because[:_PROBLEM_MAX]))
    elif outcome.result is not Result.NONE:
        pairs.append(("mechanism", outcome.matched or "default"))
    words += [f"{name}={_value(value)};" for name, value in pairs]
    return _folded(words)


def _domain(outcome: SpfOutcome) -> str:
    return comment(outcome.domain, 253) or "unknown"


def _value(text: str) -> str:
    """A dot-atom if it is one, else a quoted string (RFC 7208 §9.1)."""
    shown = _UNPRINTABLE.sub("?", text[:_VALUE_MAX])
    return shown if _DOT_ATOM.fullmatch(shown) else '"' + _TO_QUOTE.sub(r"\\\1", shown) + '"'


def _folded(words: list[str]) -> bytes:
    """Words joined by spaces, with a line end before a word that would not fit; each is kept whole."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > _LINE:
            lines.append("\t" + word)
        else:
            lines[-1] += " " + word
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
