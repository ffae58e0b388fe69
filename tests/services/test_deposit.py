"""What is computed once about a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.base.ids import BlobId, EnvelopeId
from ekiden.mail.envelope import Blob
from ekiden.services.deposit import analyse, new_message

RAW = b"Subject: =?iso-2022-jp?b?GyRCMnE1RBsoQg==?=\r\nDate: Thu, 01 Jan 1970 00:00:01 +0000\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n"


def test_the_facts_of_a_message() -> None:
    found = analyse(RAW)
    assert (found.subject, found.message_id, found.sent_at, found.hops) == ("会議", "a@b", 1000, 0)
    assert RAW[found.body_at :] == b"body\r\n"
    message = new_message(EnvelopeId(7), found, Blob(BlobId(""), len(RAW), b""), RAW, sender="", prefix=b"P: q\r\n", received_at=Millis(5))
    assert (message.id, message.header_bytes, message.subject, message.prefix) == (7, found.body_at, "会議", b"P: q\r\n")


def test_lines_on_top_count_for_readers_and_not_for_offsets() -> None:
    top = b"Message-ID: <top@b>\r\n"
    raw = b"Subject: s\r\n\r\nbody\r\n"
    found = analyse(top + raw, len(top))
    assert found.message_id == "top@b"
    assert raw[found.body_at :] == b"body\r\n"


@given(st.binary(max_size=2000))
def test_no_content_makes_it_raise(raw: bytes) -> None:
    found = analyse(raw)
    assert 0 <= found.body_at <= len(raw)
