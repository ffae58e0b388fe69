"""Named points at which a test can make the process die or the disk fail. Inert unless armed; then there is one point.

Where a point is: `if failpoints.armed: failpoints.hit("K9")`, 0.04 µs while nothing is armed. What happens there is the business of
whoever arms it (app.failing); these floors cannot kill anybody.
Source: reliability.md §3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ekiden.base.errors import BadValue

POINTS: Mapping[str, str] = {
    "K1": "a connection has been accepted",
    "K2": "EHLO has been answered",
    "K3": "RCPT has been answered",
    "K4": "part of the content lies in the temporary file",
    "K5": "the content is complete, its file not synced",
    "K6": "the file of the content is synced, its directory is not",
    "K7": "all content is synced, the transaction has not begun",
    "K8": "all rows are written, the transaction is not committed",
    "K9": "the transaction is committed, 250 has not been said",
    "K10": "250 has been given to the connection",
    "K11": "the transaction is committed, the courier has not been woken",
    "K12": "the courier has leased a copy, and has not connected",
    "K13": "the remote host has answered MAIL and RCPT",
    "K14": "part of the content has been sent to the remote host",
    "K15": "the final dot has been sent to the remote host, no reply has been read",
    "K16": "the remote host has said 250, the outcome is not committed",
    "K17": "the outcome of some recipients is written, that of others is not, nothing is committed",
    "K18": "a report is written, the copy that it tells of is not finished, nothing is committed",
    "K19": "copies in mailboxes are written, copies in the queue are not, nothing is committed",
    "K21": "IMAP: APPEND, COPY or MOVE is written and not committed",
    "K21-after": "IMAP: APPEND, COPY or MOVE is committed, OK has not been said",
    "K22": "upkeep: a row is gone, its file is not",
    "K23": "the former signing key is out of use, the next one is not in use, nothing is committed",
    "K24": "what a reader has taught is counted, nothing is committed",
}
"""K20 of the list belongs to Sieve."""

IN_TRANSACTION = frozenset({"K8", "K17", "K18", "K19", "K21", "K23", "K24"})
"""Where the store is at work: what the disk does there ends the whole transaction."""

_FORM = re.compile(r"(K[0-9]+(?:-after)?):([1-9][0-9]{0,8}):(kill|stop|eio|enospc|raise|sleep:[0-9]+(?:\.[0-9]+)?)")

armed = False
"""Whether any point is armed in this process."""


def _nothing(name: str, action: str) -> None:
    """Until something is armed."""


_name = ""
_left = 0
_act: Callable[[str, str], None] = _nothing
_action = ""


def arm(text: str, act: Callable[[str, str], None]) -> None:
    """Make the nth pass of one point call act(name, action). text: "NAME:NTH:ACTION", "" disarms.

    ACTION is kill, stop, eio, enospc, raise or sleep:SECONDS. Raises BadValue.
    """
    global armed, _name, _left, _act, _action
    if not text:
        armed = False
        return
    match = _FORM.fullmatch(text)
    if match is None or match[1] not in POINTS:
        raise BadValue("failpoint", text, f"NAME:NTH:ACTION with a name of {', '.join(POINTS)}")
    _name, _left, _action, _act = match[1], int(match[2]), match[3], act
    armed = True


def hit(name: str) -> None:
    """Pass a point. Raises what the action raises."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        _act(name, _action)
