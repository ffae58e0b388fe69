"""ekiden message."""

from __future__ import annotations

import asyncio

from tests.app.calls import Calls

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId, id_text
from ekiden.mail.journey import Greeted, Refused, encode_steps
from ekiden.store import refused
from ekiden.store.database import open_database
from ekiden.store.refused import Refusal


def test_an_unknown_message_is_told(peopled: Calls) -> None:
    assert "nothing is known about a message <x@one.test>" in peopled.fails("message", "trace", "<x@one.test>")
    assert "nothing is known" in peopled.fails("message", "trace", "0000000000000")


def test_what_was_refused_is_listed_and_traced(peopled: Calls) -> None:
    assert "nothing like that was refused" in peopled.out("message", "refused")
    number, now = EnvelopeId(1234567890), Millis(1_790_000_000_000)
    steps = [Greeted(now, "EHLO", "c.test"), Refused(now, "550 5.7.1 no")]
    kept = Refusal(number, now, "x@evil.test", "eve@evil.test", "alice@one.test", "550 5.7.1 no")

    async def write() -> None:
        database = open_database(f"sqlite://{peopled.folder / 'data' / 'ekiden.db'}")
        await database.write(lambda tx: refused.keep(tx, kept, encode_steps(steps)))
        database.close()

    asyncio.run(write())
    (listed,) = peopled.json("message", "refused", "EVE@")
    assert listed == {
        "id": id_text(number), "at": now, "sender": "eve@evil.test", "recipients": "alice@one.test", "message-id": "x@evil.test",
        "answer": "550 5.7.1 no",
    }  # fmt: skip
    assert "<eve@evil.test>" in peopled.out("message", "refused")
    assert peopled.json("message", "refused", "bob") == []
    for name in (id_text(number), "<x@evil.test>"):
        assert "nothing of it was kept but this: 550 5.7.1 no" in " ".join(peopled.out("message", "trace", name, "--width", "400").split())
