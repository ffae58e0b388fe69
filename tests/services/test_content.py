"""A message as its reader gets it: lines on top, then the content, from a row or a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from tests.services.test_mailbox import World, in_world, message

from ekiden.base.clock import Millis
from ekiden.base.errors import StoreError
from ekiden.base.ids import BlobId, EnvelopeId, ModSeq, Uid
from ekiden.services.content import Content, Details, Entry, top_of
from ekiden.store.blobs.files import FileBlobs

TOP = b"Return-Path: <a@one.test>\r\nDelivered-To: b@two.test\r\nReceived: x\r\n"


def _details(content_bytes: int, top: bytes = TOP) -> Details:
    entry = Entry(Uid(1), ModSeq(2), frozenset(), Millis(0), len(top) + content_bytes, EnvelopeId(7))
    return Details(entry, top, content_bytes, 0, b"", b"", b"", "", "", None)


def _in_file(folder: Path, data: bytes) -> tuple[FileBlobs, BlobId]:
    blobs = FileBlobs(folder / "blobs")
    writer = blobs.create()
    writer.write(data)
    blob = writer.commit()
    writer.close()
    return blobs, blob.id


def test_the_top_says_who_sent_it_and_to_whom() -> None:
    assert top_of("a@one.test", "b@two.test", b"Received: x\r\n") == TOP
    assert top_of("", "", b"") == b"Return-Path: <>\r\n"  # RFC 5321 §4.4
    assert top_of(None, "", b"") == b""


@pytest.mark.parametrize("in_file", [False, True])
def test_every_part_of_it_can_be_read(tmp_path: Path, in_file: bool) -> None:
    data = bytes(range(256)) * 4
    blobs, blob = _in_file(tmp_path, data)
    content = Content(_details(len(data)), None, blob, blobs) if in_file else Content(_details(len(data)), data, None, blobs)
    whole = TOP + data

    async def main() -> None:
        assert await content.read() == whole
        assert content.size == len(whole)
        for offset in (0, 1, len(TOP) - 1, len(TOP), len(TOP) + 1, len(whole) - 1, len(whole), len(whole) + 9):
            for length in (0, 1, 2, len(TOP), 500, 10**9):
                assert await content.read(offset, length) == whole[offset : offset + length]
            assert b"".join([piece async for piece in content.chunks(offset)]) == whole[offset:]
        assert b"".join([piece async for piece in content.chunks(3, 100)]) == whole[3:103]

    asyncio.run(main())
    assert content.whole == (None if in_file else whole)


def test_a_large_file_comes_in_pieces(tmp_path: Path) -> None:
    data = b"0123456789abcdef" * 50_000
    blobs, blob = _in_file(tmp_path, data)

    async def main() -> list[bytes]:
        return [piece async for piece in Content(_details(len(data)), None, blob, blobs).chunks()]

    pieces = asyncio.run(main())
    assert b"".join(pieces) == TOP + data
    assert max(map(len, pieces)) <= 262_144


def test_a_file_that_is_gone_or_too_short_is_an_error(tmp_path: Path) -> None:
    blobs, blob = _in_file(tmp_path, b"x" * 100)

    async def main() -> None:
        with pytest.raises(StoreError):
            await Content(_details(101), None, blob, blobs).read()
        blobs.delete(blob)
        with pytest.raises(StoreError):
            await Content(_details(100), None, blob, blobs).read()
        with pytest.raises(StoreError):
            await Content(_details(100), None, None, blobs).read()

    asyncio.run(main())


def test_a_damaged_message_is_not_shown_and_the_others_are(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", message(1), message(2), message(3))
        box = await world.service.open(world.account, "INBOX")
        rot = apsw.Connection(str(tmp_path / "ekiden.db"))
        rot.execute("UPDATE message SET content = CAST(replace(CAST(content AS TEXT), 'body', 'bodi') AS BLOB) WHERE subject = 'number 2'")
        rot.close()
        found = [content async for content in world.service.contents(box.id, [(1, 3)])]
        assert await found[0].read() == message(1)
        with pytest.raises(StoreError, match="damaged"):
            await found[1].read(0, 10)
        assert await found[2].read() == message(3)

    in_world(tmp_path, work)
