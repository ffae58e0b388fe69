"""ekiden salvage: everything that can still be read out of a damaged store, as Maildirs that any mail program or server can take."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import click

from ekiden.app.commandline import Cli, Failure, Misuse, common
from ekiden.app.commands.check import sqlite_store
from ekiden.base.ids import id_text
from ekiden.imap.mutf7 import encode_mutf7
from ekiden.store.salvage import Salvage, Saved

_FLAGS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._@+=-]")
FOUND = "lost+found"
QUEUE = "queue"


@click.command("salvage")
@click.argument("folder", type=click.Path(path_type=Path))
@common
def COMMAND(cli: Cli, folder: Path) -> None:
    """Write every message that can be read into FOLDER and say what is lost."""
    if folder.exists() and any(folder.iterdir()):
        raise Misuse(cli.text("cli.salvage-not-empty", folder=folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, blobs = sqlite_store(cli)
    salvage = Salvage(path, blobs)
    counts: Counter[str] = Counter()
    try:
        for number, saved in enumerate(salvage.messages()):
            counts[_write(folder, saved, number)] += 1
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}") from error
    lost = [(cli.text(f"cli.found-{one.kind}"), one.what, one.because) for one in salvage.lost]
    if cli.as_json:
        heads = ("kind", "what", "because")
        cli.give({"saved": dict(counts), "lost": [dict(zip(heads, one, strict=True)) for one in lost]}, str)
        return
    cli.table(("name", "messages"), sorted(counts.items()), "cli.salvage-nothing")
    if lost:
        click.echo("\n" + cli.text("cli.salvage-lost"))
    cli.table(("kind", "what", "because"), lost, "cli.salvage-all")


def _write(folder: Path, saved: Saved, number: int) -> str:
    """Keep one message; under which name it is counted."""
    if saved.recipients:
        return _keep(folder / QUEUE, saved, number, b"".join(b"X-Ekiden-Recipient: %s\r\n" % each.encode() for each in saved.recipients))
    if not saved.account:
        return _keep(folder / FOUND, saved, number)
    place = folder / _safe(saved.account)
    if saved.mailbox.upper() != "INBOX" and saved.mailbox:
        place /= "." + _safe(encode_mutf7(saved.mailbox.replace(".", "_").replace("/", ".")).decode("ascii"), "&,")
    _keep(place, saved, number)
    return saved.account


def _keep(maildir: Path, saved: Saved, number: int, top: bytes = b"") -> str:
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    letters = "".join(sorted(letter for flag, letter in _FLAGS.items() if flag in saved.flags))
    name = f"{saved.at // 1000}.{saved.uid:010d}-{number}-{id_text(saved.id)}.ekiden:2,{letters}"
    with open(maildir / "tmp" / name, "wb") as file:
        file.write(top + saved.content.replace(b"\r\n", b"\n"))
    os.utime(maildir / "tmp" / name, (saved.at / 1000, saved.at / 1000))
    os.rename(maildir / "tmp" / name, maildir / "cur" / name)
    return maildir.name


def _safe(name: str, more: str = "") -> str:
    """A name that is one folder, whatever an account is called."""
    made = "".join(c if c in more or not _NOT_IN_NAMES.match(c) else "_" for c in name)
    return made if made.strip(".") else f"_{made}"
