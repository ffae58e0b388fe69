"""What one session has told its client of the selected mailbox: message numbers, flags, what is still to be told.

Numbers change only when the client hears of it; other sessions' expunges wait here until the protocol allows to say them.
Source: RFC 3501 §5.2, RFC 3501 §5.5, RFC 3501 §7.4.1, RFC 5530 §3 (EXPUNGEISSUED).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from ekiden.base.ids import ModSeq
from ekiden.imap import responses
from ekiden.imap.grammar import SYSTEM_FLAGS
from ekiden.imap.sequence import SequenceSet
from ekiden.services.mailbox import Entry, News, Snapshot


def _system_first(flag: str) -> tuple[bool, str]:
    return (not flag.startswith("\\"), flag)


class View:
    """The selected mailbox as the client knows it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._gone: set[int] = set()  # expunged elsewhere, the client does not know yet
        self._told: dict[int, ModSeq] = {}  # flags of this modseq have been told
        self._read: set[int] = set()  # the content has been fetched in this session

    @property
    def count(self) -> int:
        """Messages, as the client counts them."""
        return len(self.snapshot.uids)

    @property
    def recent(self) -> int:
        """Messages that carry \\Recent in this session."""
        return self.count - bisect_left(self.snapshot.uids, self.snapshot.recent_from)

    def number(self, uid: int) -> int:
        """The message number of a UID, 0 if the client knows no such message."""
        at = bisect_left(self.snapshot.uids, uid)
        return at + 1 if at < self.count and self.snapshot.uids[at] == uid else 0

    def uids(self, wanted: SequenceSet, *, by_uid: bool) -> list[int]:
        """The UIDs that a set names. Raises BadValue for a message number that does not exist."""
        known = self.snapshot.uids
        if by_uid:
            return wanted.uids(known)
        found: list[int] = []
        for low, high in wanted.numbers(self.count):
            found.extend(known[low - 1 : high])
        return found

    def flags_of(self, entry: Entry) -> bytes:
        """Flags of a message in parentheses, \\Recent among them where it is; system flags first."""
        flags = list(entry.flags)
        if entry.uid >= self.snapshot.recent_from:
            flags.append("\\Recent")
        return responses.flag_list(sorted(flags, key=_system_first) if len(flags) > 1 else flags)

    def told(self, entries: Iterable[Entry]) -> None:
        """The client knows these flags already, or did not want to hear of them."""
        self._told.update((entry.uid, entry.modseq) for entry in entries)

    def first_read(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of these messages whose content this session has not fetched before; it has now."""
        new = [entry for entry in entries if entry.uid not in self._read]
        self._read.update(entry.uid for entry in new)
        return new

    def flags_line(self) -> bytes:
        """FLAGS and PERMANENTFLAGS of the mailbox."""
        flags = (*SYSTEM_FLAGS, *self.snapshot.keywords)
        permanent = () if self.snapshot.read_only else (*flags, "\\*")
        code = b"PERMANENTFLAGS " + responses.flag_list(permanent)
        return responses.flags_line(flags) + responses.status_response(b"*", responses.Kind.OK, "Flags that are kept", code)

    def new_keywords(self, entries: Iterable[Entry]) -> bytes:
        """FLAGS anew if these messages carry keywords that the client has not heard of, else nothing."""
        known = set(self.snapshot.keywords)
        new = {flag for entry in entries for flag in entry.flags if not flag.startswith("\\") and flag not in known}
        if not new:
            return b""
        self.snapshot.keywords = (*self.snapshot.keywords, *sorted(new))
        return self.flags_line()

    def apply(self, news: News, *, expunge: bool) -> bytes:
        """What the client is told of news; EXPUNGE only if it is allowed now, else it is kept for later."""
        snapshot = self.snapshot
        lines: list[bytes] = []
        self._gone.update(news.expunged)
        if expunge and self._gone:
            lines.append(self._expunge())
        changed = news.modseq != snapshot.modseq or bool(news.new)
        if changed and set(news.keywords) - set(snapshot.keywords):
            snapshot.keywords = news.keywords
            lines.append(self.flags_line())
        if news.new:
            snapshot.uids.extend([entry.uid for entry in news.new])
            lines.append(responses.exists(self.count))
            lines.append(responses.recent(self.recent))
        for entry in news.changed:
            if self._told.get(entry.uid) != entry.modseq and (number := self.number(entry.uid)):
                lines.append(responses.fetch_line(number, [b"UID %d" % entry.uid, b"FLAGS " + self.flags_of(entry)]))
        self._told.clear()
        snapshot.modseq, snapshot.uid_next = news.modseq, news.uid_next
        return b"".join(lines)

    def _expunge(self) -> bytes:
        uids, gone = self.snapshot.uids, self._gone
        numbers = sorted(number for uid in gone if (number := self.number(uid)))
        if numbers:
            self.snapshot.uids = array("I", [uid for uid in uids if uid not in gone])
        gone.clear()
        return responses.expunges(numbers)
