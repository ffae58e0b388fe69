"""The measuring programs of bench/ run, and what they put into stores and pictures is what they say."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import filling, growth, plot, profile

from ekiden.base.clock import Millis
from ekiden.store import accounts, mailboxes, queue
from ekiden.store.database import Tx, open_database

PROJECT = Path(__file__).resolve().parents[2]


def _store(folder: Path) -> Path:
    """A database with the one account of bench/, closed."""
    path = folder / "ekiden.db"

    async def make() -> None:
        database = open_database(f"sqlite://{path}")
        try:
            await database.write(lambda tx: accounts.create_account(tx, "inbox@bench.test", ["inbox@bench.test"], "", Millis(1)))
        finally:
            database.close()

    asyncio.run(make())
    return path


def _read(path: Path, work: object) -> object:
    async def read() -> object:
        database = open_database(f"sqlite://{path}")
        try:
            return await database.read(work)  # type: ignore[arg-type]  # each test hands a function of a Tx
        finally:
            database.close()

    return asyncio.run(read())


def test_a_filled_mailbox_is_one_that_the_store_takes_for_its_own(tmp_path: Path) -> None:
    path = _store(tmp_path)
    filling.fill_mailbox(30)(path)

    def look(tx: Tx) -> tuple[int, int, int]:
        account = accounts.account_named(tx, "inbox@bench.test")
        assert account is not None
        inbox = next(box for box in mailboxes.of_account(tx, account.id) if box.name == "INBOX")
        rows = tx.all("contents_between", mailbox=inbox.id, first=1, last=2**32 - 1, count=100)
        assert all(filling.CONTENT in row for row in rows)
        return inbox.messages, inbox.uid_next, len(rows)

    assert _read(path, look) == (30, 31, 30)


def test_a_filled_queue_waits(tmp_path: Path) -> None:
    path = _store(tmp_path)
    filling.fill_queue(25, due_in_s=3600)(path)
    assert _read(path, queue.counts) == {"due": 25}


def test_accounts_share_the_addresses_of_a_numbered_load(tmp_path: Path) -> None:
    path = _store(tmp_path)
    filling.fill_accounts(3, 10)(path)

    def owners(tx: Tx) -> list[str]:
        found = [accounts.find_address(tx, f"{n}inbox", "bench.test") for n in range(10)]
        return [target.name for target in found if isinstance(target, accounts.Target)]

    assert _read(path, owners) == [f"user{n % 3}" for n in range(10)]


def test_the_plot_is_an_image_with_a_dot_for_each_point() -> None:
    picture = plot.growth([("accounts & <more>", [(1, 100.0), (1000, 95.0)]), ("queue", [(0, 50.0), (10_000, 45.0)])], 0.8)
    root = ElementTree.fromstring(picture)
    assert len(root.findall(".//{http://www.w3.org/2000/svg}circle")) == 4
    assert "accounts & <more>" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_flat_means_within_a_fifth() -> None:
    assert growth.verdict([growth.Point(1, [100.0]), growth.Point(9, [80.0])]) == "flat within 20 %"
    assert growth.verdict([growth.Point(1, [100.0]), growth.Point(9, [79.0])]) == "falls to 79%"


def test_a_profile_names_no_place_of_the_machine() -> None:
    text = 'x<text id="title" y="1">/home/me/py-spy record</text> run (/home/me/.venv/lib/python3.11/site-packages/click/core.py:3)'
    text += " serve (/home/me/mail/src/ekiden/app/worker.py:7) wait (/usr/lib/python3.11/threading.py:1)"
    cleaned = profile.without_places(text)
    assert "/home" not in cleaned
    assert "/usr" not in cleaned
    assert "(click/core.py:3) serve (ekiden/app/worker.py:7) wait (threading.py:1)" in cleaned


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.peer("postfix", "postfix-tools")
@pytest.mark.parametrize(
    "program",
    [
        ("compare", "persistent", "single", "hundred", "100k", "5m"),
        ("latency",),
        ("memory",),
        ("growth",),
        ("imap_fetch",),
    ],
    ids=lambda words: words[0],
)
def test_a_quick_run_ends_well(program: tuple[str, ...]) -> None:
    name, *words = program
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--quick", *words], cwd=PROJECT, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "msgs/s" in done.stdout or "PSS" in done.stdout
