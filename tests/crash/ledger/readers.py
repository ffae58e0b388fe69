"""IMAP clients that append, copy, move, flag and expunge in mailboxes of their own, write down each OK, and what must follow from it.

A client's file holds two JSON objects for each command: the command before it was sent, and {"n": …, "ok": true or false} once it
was answered. A command without an answer may have been done or not; its message is left alone from then on.
Source: reliability.md §3.1; RFC 9051 §2.3.1.1 (UIDs), RFC 4315 (APPENDUID, COPYUID).
"""

from __future__ import annotations

import imaplib
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.ledger.clients import BROKEN, Client
from tests.crash.ledger.verdict import Verdict
from tests.crash.ledger.writing import Ledger, Notes

_APPENDUID = re.compile(rb"\[APPENDUID (\d+) (\d+)\]")
_FLAGS = ("\\Flagged", "\\Answered", "\\Seen", "Important")
_ENOUGH = 40

Event = dict[str, Any]
"""A JSON object of a client's file. Keys: n, op, id, box, uid, to, flag; n, ok, validity, new."""
Final = Mapping[str, Mapping[int, tuple[str, frozenset[str]]]]
"""Mailbox → UID → (id, flags)."""


class Keeper(Client):
    """An IMAP client with two mailboxes of its own. ledger: makes its messages and has its file."""

    def __init__(self, ledger: Ledger, stop: threading.Event, connect: Callable[[], imaplib.IMAP4], notes: Notes) -> None:
        super().__init__(ledger.name, stop)
        self.ledger = ledger
        self.boxes = (f"Desk {ledger.name}", f"Shelf {ledger.name}")
        self._connect = connect
        self._notes = notes
        self._live: dict[int, str] = {}  # of the first mailbox: UID → id; what an unanswered command was about is not here
        self._asked = 0
        self._done = 0

    @property
    def successes(self) -> int:
        return self._done

    @property
    def file(self) -> Path:
        """Its ledger."""
        return self._notes.path

    def talk(self) -> None:
        client = self._connect()
        try:
            self._check(client.select(f'"{self.boxes[0]}"'))
            while not self.stop_asked.is_set():
                self._act(client)
        finally:
            client.shutdown()

    def _act(self, client: imaplib.IMAP4) -> None:
        dice = self.ledger.dice
        if len(self._live) < 4 or (len(self._live) < _ENOUGH and dice.random() < 0.3):
            self._append(client)
            return
        uid = dice.choice(sorted(self._live))
        what = dice.choice(("COPY", "MOVE", "STORE", "STORE", "EXPUNGE"))
        if what == "STORE":
            self._store(client, uid, dice.choice(_FLAGS))
        elif what == "EXPUNGE":
            self._expunge(client, uid)
        else:
            self._transfer(client, what, uid)

    def _ask(self, **event: object) -> int:
        self._asked += 1
        self._notes.append([json.dumps({"n": self._asked, **event})])
        return self._asked

    def _heard(self, n: int, ok: bool, **more: object) -> None:
        self._notes.append([json.dumps({"n": n, "ok": ok, **more})])
        self._done += ok

    def _append(self, client: imaplib.IMAP4) -> None:
        line, message = self.ledger.next_message((self.boxes[0],))
        n = self._ask(op="APPEND", id=line.id, to=self.boxes[0])
        status, answer = client.append(f'"{self.boxes[0]}"', "", "", message)
        if status != "OK":
            self._heard(n, False)
            return
        found = _APPENDUID.search(answer[0])
        assert found, answer
        self._heard(n, True, validity=int(found[1]), new=int(found[2]))
        self._live[int(found[2])] = line.id

    def _store(self, client: imaplib.IMAP4, uid: int, flag: str) -> None:
        n = self._ask(op="STORE", id=self._live[uid], box=self.boxes[0], uid=uid, flag=flag)
        id = self._live.pop(uid)
        status, _ = client.uid("STORE", str(uid), "+FLAGS.SILENT", f"({flag})")
        self._heard(n, status == "OK")
        self._live[uid] = id

    def _expunge(self, client: imaplib.IMAP4, uid: int) -> None:
        n = self._ask(op="EXPUNGE", id=self._live.pop(uid), box=self.boxes[0], uid=uid)
        self._check(client.uid("STORE", str(uid), "+FLAGS.SILENT", "(\\Deleted)"))
        status, _ = client.uid("EXPUNGE", str(uid))
        self._heard(n, status == "OK")

    def _transfer(self, client: imaplib.IMAP4, what: str, uid: int) -> None:
        id = self._live.pop(uid)
        n = self._ask(op=what, id=id, box=self.boxes[0], uid=uid, to=self.boxes[1])
        client.response("COPYUID")
        status, _ = client.uid(what, str(uid), f'"{self.boxes[1]}"')
        if status != "OK":
            self._heard(n, False)
            return
        said = client.response("COPYUID")[1][0]
        assert said is not None, "no COPYUID"
        validity, source, target = bytes(said).decode().split(" ")
        assert int(source) == uid, said
        self._heard(n, True, validity=int(validity), new=int(target))
        if what == "COPY":
            self._live[uid] = id

    @staticmethod
    def _check(answer: tuple[str, object]) -> None:
        if answer[0] != "OK":
            raise imaplib.IMAP4.error(str(answer))


def read_events(path: Path) -> list[Event]:
    """A client's file."""
    return [json.loads(line) for line in path.read_text("ascii").split("\n")[:-1]]


# ---- what must follow -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Mail:
    """One UID. here: True, False, or None for "who knows"."""

    id: str
    here: bool | None = True
    flags: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Expected:
    """All that a client's file says. open: unanswered commands that may have put a message somewhere."""

    mails: dict[tuple[str, int], _Mail] = field(default_factory=dict)
    open: list[Event] = field(default_factory=list)
    validities: dict[str, set[int]] = field(default_factory=dict)


def judge_imap(events: Iterable[Event], validities: Mapping[str, int], final: Final, verdict: Verdict) -> None:
    """Each OK against what the mailboxes show at the end. validities: mailbox → UIDVALIDITY at the end."""
    expected = _replay(list(events), verdict)
    for box, seen in expected.validities.items():
        if seen != {validities.get(box)}:
            verdict.uid_reuse.append((box, f"UIDVALIDITY {seen}, then {validities.get(box)}"))
    for (box, uid), mail in expected.mails.items():
        _judge_uid(mail, f"{box} UID {uid}", final.get(box, {}).get(uid), verdict)
    unknown = [(box, uid, id) for box, mails in final.items() for uid, (id, _) in mails.items() if (box, uid) not in expected.mails]
    for event in expected.open:
        arrived = next((each for each in unknown if each[0] == event["to"] and each[2] == event["id"]), None)
        if arrived is not None:
            unknown.remove(arrived)
        if event["op"] == "MOVE":  # RFC 6851 §3.3: never in both, never in neither
            there = event["uid"] in final.get(event["box"], {})
            if there and arrived:
                verdict.dup.append((event["id"], "a move left it in both mailboxes"))
            if not there and not arrived:
                verdict.imap_lost.append((event["id"], "a move left it in neither mailbox"))
    verdict.ghost += [(id, f"{box} UID {uid}: nobody has put it there") for box, uid, id in unknown]


def _judge_uid(mail: _Mail, where: str, found: tuple[str, frozenset[str]] | None, verdict: Verdict) -> None:
    if found is None:
        if mail.here:
            verdict.imap_lost.append((mail.id, where))
        return
    id, flags = found
    if id != mail.id:
        verdict.uid_reuse.append((mail.id, f"{where} is {id} now"))
    elif mail.here is False:
        verdict.imap_lost.append((mail.id, f"{where} is there again"))
    elif missing := mail.flags - flags:
        verdict.imap_lost.append((mail.id, f"{where} without {sorted(missing)}"))


def _replay(events: list[Event], verdict: Verdict) -> _Expected:
    """What a client may count on. New UIDs of one mailbox, which it alone fills, have to grow."""
    answers = {event["n"]: event for event in events if "ok" in event}
    expected, highest = _Expected(), dict[str, int]()
    for event in events:
        if "ok" in event:
            continue
        answer = answers.get(event["n"])
        if answer is None:
            _unanswered(event, expected)
        elif answer["ok"]:
            _answered(event, expected)
            if "new" in answer:
                box, uid = event["to"], answer["new"]
                expected.validities.setdefault(box, set()).add(answer["validity"])
                if uid <= highest.get(box, 0):
                    verdict.uid_reuse.append((event["id"], f"{box} gave UID {uid} after {highest[box]}"))
                highest[box] = max(uid, highest.get(box, 0))
                flags = expected.mails[event["box"], event["uid"]].flags if "box" in event else ()
                expected.mails[box, uid] = _Mail(event["id"], flags=set(flags))
    return expected


def _answered(event: Event, expected: _Expected) -> None:
    if event["op"] in ("APPEND", "COPY"):
        return
    mail = expected.mails[event["box"], event["uid"]]
    if event["op"] == "STORE":
        mail.flags.add(event["flag"])
    else:
        mail.here = False


def _unanswered(event: Event, expected: _Expected) -> None:
    if event["op"] in ("MOVE", "EXPUNGE"):
        expected.mails[event["box"], event["uid"]].here = None
    if event["op"] in ("APPEND", "COPY", "MOVE"):
        expected.open.append(event)


__all__ = ["BROKEN", "Event", "Final", "Keeper", "judge_imap", "read_events"]
