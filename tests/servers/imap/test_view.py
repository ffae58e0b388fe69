"""What a client knows of its mailbox, and when it hears what."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.base.ids import AccountId, EnvelopeId, MailboxId, ModSeq, Uid
from ekiden.imap.sequence import parse_sequence_set
from ekiden.servers.imap.view import View
from ekiden.services.mailbox import Entry, News, Snapshot


def _view(*uids: int, recent_from: int = 1000) -> View:
    return View(
        Snapshot(
            id=MailboxId(1),
            account=AccountId(1),
            name="INBOX",
            read_only=False,
            uids=array("I", uids),
            uid_validity=1,
            uid_next=Uid(max(uids, default=0) + 1),
            modseq=ModSeq(5),
            recent_from=Uid(recent_from),
            unseen=0,
            first_unseen=None,
            keywords=(),
        )
    )


def _entry(uid: int, *flags: str, modseq: int = 6) -> Entry:
    return Entry(Uid(uid), ModSeq(modseq), frozenset(flags), Millis(0), 1, EnvelopeId(1))


def _news(*, expunged: tuple[int, ...] = (), changed: tuple[Entry, ...] = (), new: tuple[Entry, ...] = (), modseq: int = 6) -> News:
    uid_next = Uid(max((entry.uid for entry in new), default=99) + 1)
    keywords = tuple({flag for entry in (*changed, *new) for flag in entry.flags if not flag.startswith("\\")})
    return News(tuple(map(Uid, expunged)), changed, new, ModSeq(modseq), uid_next, keywords)


def test_numbers_and_sets() -> None:
    view = _view(3, 5, 9)
    assert [view.number(uid) for uid in (3, 4, 5, 9, 10)] == [1, 0, 2, 3, 0]
    assert view.uids(parse_sequence_set(b"2:*"), by_uid=False) == [5, 9]
    assert view.uids(parse_sequence_set(b"4:*"), by_uid=True) == [5, 9]
    with pytest.raises(BadValue):
        view.uids(parse_sequence_set(b"4"), by_uid=False)


def test_expunges_wait_until_they_are_allowed() -> None:
    view = _view(3, 5, 9)
    assert view.apply(_news(expunged=(3, 9)), expunge=False) == b""
    assert view.count == 3
    assert view.apply(_news(), expunge=True) == b"* 3 EXPUNGE\r\n* 1 EXPUNGE\r\n"
    assert list(view.snapshot.uids) == [5]


def test_new_messages_count_those_that_are_not_told_to_be_gone() -> None:
    view = _view(3, 5, recent_from=6)
    assert view.apply(_news(expunged=(3,), new=(_entry(7),)), expunge=False) == b"* 3 EXISTS\r\n* 1 RECENT\r\n"
    assert view.apply(_news(), expunge=True) == b"* 1 EXPUNGE\r\n"


def test_flags_that_are_known_are_not_told_again() -> None:
    view = _view(3, 5)
    view.told([_entry(3, "\\Seen")])
    changed = (_entry(3, "\\Seen"), _entry(5, "\\Seen"))
    assert view.apply(_news(changed=changed), expunge=True) == b"* 2 FETCH (UID 5 FLAGS (\\Seen))\r\n"
    assert view.apply(_news(changed=(_entry(3, modseq=7),)), expunge=True) == b"* 1 FETCH (UID 3 FLAGS ())\r\n"


def test_new_keywords_are_announced_once() -> None:
    view = _view(3)
    lines = view.apply(_news(changed=(_entry(3, "work"),)), expunge=True)
    assert lines.startswith(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)\r\n* OK [PERMANENTFLAGS (")
    assert view.new_keywords([_entry(3, "work")]) == b""
    assert b" play)" in view.new_keywords([_entry(3, "play")])


def test_a_message_is_read_for_the_first_time_once() -> None:
    view = _view(3, 5)
    assert view.first_read([_entry(3)]) == [_entry(3)]
    assert view.first_read([_entry(3), _entry(5)]) == [_entry(5)]


def test_recent_is_what_came_after_the_last_session() -> None:
    view = _view(3, 5, 9, recent_from=5)
    assert view.recent == 2
    assert view.flags_of(_entry(9, "\\Seen", "a")) == b"(\\Recent \\Seen a)"
    assert view.flags_of(_entry(3)) == b"()"


@given(st.lists(st.tuples(st.sampled_from(["new", "gone", "look"]), st.booleans()), max_size=30))
def test_a_client_that_counts_along_is_always_right(events: list[tuple[str, bool]]) -> None:
    """A client keeps its own list by what it hears; it must be the view's list, and in the end the server's."""
    view, server, client = _view(), list[int](), list[int]()
    next_uid, gone, modseq = 1, list[int](), 5
    for event, allowed in [*events, ("look", True)]:
        modseq += 1
        if event == "new":
            server.append(next_uid)
            next_uid += 1
        elif event == "gone" and server:
            gone.append(server.pop(len(server) // 2))
        known = view.snapshot.uid_next
        news = _news(
            expunged=tuple(uid for uid in gone if uid < known), new=tuple(_entry(uid) for uid in server if uid >= known), modseq=modseq
        )
        gone.clear()
        for line in view.apply(news, expunge=allowed).split(b"\r\n")[:-1]:
            _, number, *words = line.split(b" ")
            if words == [b"EXPUNGE"]:
                assert allowed
                del client[int(number) - 1]
            elif words == [b"EXISTS"]:
                client += view.snapshot.uids[len(client) :].tolist()
                assert len(client) == int(number)
        view.snapshot.uid_next = Uid(next_uid)
        assert client == list(view.snapshot.uids)
    assert client == server
