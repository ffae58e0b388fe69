"""What submission mends, and what it leaves alone."""

from __future__ import annotations

import pytest

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mail.headers import parse_headers
from ekiden.services.submit import mend, without

NOW = Millis(1_800_000_000_000)


@pytest.mark.parametrize(
    ("raw", "kept", "amended"),
    [
        (b"Date: x\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n", b"Date: x\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n", ()),
        (b"Subject: s\r\n\r\nb\r\n", b"Subject: s\r\n\r\nb\r\n", ("+Message-ID", "+Date")),
        (
            b"Date: x\r\nMessage-Id: y\r\nbCC: a,\r\n b\r\nTo: c\r\n\r\nBcc: no\r\n",
            b"Date: x\r\nMessage-Id: y\r\nTo: c\r\n\r\nBcc: no\r\n",
            ("-Bcc",),
        ),
        (b"Date: x\r\nMessage-ID: y\r\nResent-Bcc: z\r\n", b"Date: x\r\nMessage-ID: y\r\n", ("-Bcc",)),
        (b"", b"", ("+Message-ID", "+Date")),
    ],
)
def test_a_message_is_completed(raw: bytes, kept: bytes, amended: tuple[str, ...]) -> None:
    mended = mend(raw, parse_headers(raw), EnvelopeId(1), NOW, "mx.test")
    assert (mended.raw, mended.amended) == (kept, amended)
    top = parse_headers(mended.prefix + b"\r\n")
    assert {name.decode() for name, _ in top.fields} == {what[1:] for what in amended if what[0] == "+"}


def test_fields_are_cut_out_with_their_folds() -> None:
    raw = b"A: 1\r\nB: 2\r\n\t3\r\nA : 4\r\n\r\nA: 5\r\n"
    assert without(raw, parse_headers(raw), (b"a",)) == b"B: 2\r\n\t3\r\n\r\nA: 5\r\n"
