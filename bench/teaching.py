"""What it costs that mail is learned: a MOVE into Junk beside any other MOVE, the question about a new message, and a lesson.

Run: python -m bench.teaching [--moves 400]
MOVEs into Junk and into another folder take turns, each with its own commit; what is compared is the lower quartile.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from statistics import quantiles

from ekiden.app.clock import SystemClock
from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, BlobId, EnvelopeId, IdMaker
from ekiden.mail.envelope import Blob
from ekiden.mail.headers import parse_headers
from ekiden.mail.words import key_of
from ekiden.services.learning import Learning
from ekiden.services.likeness import Likenesses
from ekiden.services.mailbox import Mailboxes
from ekiden.store import accounts, lessons, mailboxes, messages
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import Changes, taught_of
from ekiden.store.database import Database, Tx, open_database
from ekiden.store.lessons import Side
from ekiden.store.messages import NewMessage

_NOW = Millis(1_800_000_000_000)
_MANY = 1000
_TAUGHT = 1000
_FOLDERS = ("Archive", "Junk")


def letter(chance: random.Random, words: int) -> bytes:
    """A message of so many different words out of forty thousand, as common as words of a language are."""
    chosen = {f"w{int(40_000 * chance.random() ** 3)}" for _ in range(words)}
    return b"From: a@one.test\r\nSubject: hello\r\nDate: x\r\nMessage-ID: <a@b>\r\n\r\n" + " ".join(chosen).encode() + b"\r\n"


def _people(tx: Tx, count: int) -> AccountId:
    account = accounts.create_account(tx, "alice", ["alice@one.test"], "", _NOW).id
    inbox = mailboxes.named(tx, account, "INBOX")
    if inbox is None:
        raise RuntimeError("a new account has an INBOX")
    chance = random.Random(1)
    for number in range(1, count + 1):
        raw = letter(chance, 200)
        messages.insert(tx, _message(number, raw))
    copies = [messages.Copy(inbox.id, EnvelopeId(number), _NOW, 2000, "") for number in range(1, count + 1)]
    messages.deposit_all(tx, copies)
    return account


def _message(number: int, raw: bytes) -> NewMessage:
    blob = Blob(BlobId(""), len(raw), sha256(raw).digest())
    return NewMessage(EnvelopeId(number), blob, raw, "a@one.test", b"", _NOW, 60, f"{number}@one.test", "hello", None, b"", b"", b"")


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await work()
    return 1000 * (time.perf_counter() - began)


async def _moves(service: Mailboxes, account: AccountId, rounds: int, at_once: int) -> dict[str, float]:
    """The lower quartile of moving so many messages out of INBOX, by folder; they are brought back outside of the measurement."""
    took: dict[str, list[float]] = {folder: [] for folder in _FOLDERS}
    for number in range(2 * rounds):
        folder = _FOLDERS[number % 2]
        inbox = await service.open(account, "INBOX")
        uids = [(inbox.uids[0], inbox.uids[at_once - 1])]
        took[folder].append(await _timed(lambda folder=folder, inbox=inbox, uids=uids: service.move(inbox.id, uids, folder)))  # type: ignore[misc]  # binds them
        there = await service.open(account, folder)
        await service.move(there.id, [(1, 1 << 31)], "INBOX")
    return {folder: quantiles(each)[0] for folder, each in took.items()}


async def _asked(database: Database, likenesses: Likenesses, account: AccountId, changes: Changes) -> None:
    raw = letter(random.Random(2), 200)
    headers = parse_headers(raw)
    await likenesses.about(raw, headers, {account}).likeness()
    count = 20_000
    took = await _timed(lambda: _ask(likenesses, raw, account, count))
    print(f"asked where nobody has taught enough: {1000 * took / count:8.2f} µs")

    chance = random.Random(3)
    began = time.perf_counter()
    for number in range(2 * _TAUGHT):
        keys = [key_of(word) for word in letter(chance, 200).decode().split(" ")]
        side = Side.SPAM if number % 2 else Side.HAM
        await database.write(lambda tx, n=number, k=keys, s=side: lessons.learn(tx, account, b"%d" % n, s, k, _NOW))  # type: ignore[misc]  # binds them
    print(f"a lesson of 200 words, with its commit: {1000 * (time.perf_counter() - began) / (2 * _TAUGHT):8.2f} ms")
    changes.poke(taught_of(account))
    for words in (200, 2000):
        raw = letter(random.Random(4), words)
        await likenesses.about(raw, headers, {account}).likeness()
        took = await _timed(lambda raw=raw: _ask(likenesses, raw, account, 100))  # type: ignore[misc]  # binds it
        print(f"asked about up to {words} words, {2 * _TAUGHT} messages taught: {took / 100:8.2f} ms")


async def _ask(likenesses: Likenesses, raw: bytes, account: AccountId, times: int) -> None:
    headers = parse_headers(raw)
    for _ in range(times):
        await likenesses.about(raw, headers, {account}).likeness()


async def _main(moves: int) -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        database, blobs = open_database(f"sqlite://{folder / 'ekiden.db'}"), FileBlobs(folder / "blobs")
        changes, clock = Changes(), SystemClock()
        try:
            account = await database.write(lambda tx: _people(tx, 2 * _MANY))
            service = Mailboxes(database, blobs, changes, clock, IdMaker(clock))
            for at_once, rounds in ((1, moves), (_MANY, max(3, moves // 20))):
                took = await _moves(service, account, rounds, at_once)
                more = 100 * (took["Junk"] / took["Archive"] - 1)
                print(f"MOVE of {at_once:4}: into Archive {took['Archive']:8.3f} ms, into Junk {took['Junk']:8.3f} ms ({more:+.1f} %)")
            learning = Learning(database, blobs, changes, clock, lambda event, **fields: None)
            began = time.perf_counter()
            learned = await learning.look()
            print(f"the keeper learns {learned / (time.perf_counter() - began):8.0f} messages/s")
            await database.write(lambda tx: lessons.forget(tx, account))
            await _asked(database, Likenesses(database, changes, clock, lambda event, **fields: None), account, changes)
        finally:
            changes.close()
            database.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=400)
    asyncio.run(_main(parser.parse_args().moves))


if __name__ == "__main__":
    main()
