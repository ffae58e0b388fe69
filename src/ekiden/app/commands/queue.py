"""ekiden queue: mail on its way out, and taking it in hand."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, common, progress, run
from ekiden.base.clock import Millis, moment
from ekiden.base.ids import EnvelopeId, id_text
from ekiden.mail.journey import Handled
from ekiden.store import journeys, poison, queue
from ekiden.store.changes import QUEUE, Changes
from ekiden.store.database import Tx
from ekiden.store.queue import Waiting

_HEADS = ("id", "status", "sender", "recipient", "next-hop", "attempts", "due", "reply")
_ALL = 1_000_000
_NODES = 1_000_000  # far above the numbers of processes that serve


@click.group("queue")
def COMMAND() -> None:
    """Look at mail that waits to be sent, and retry, hold, release or drop it."""


@COMMAND.command("list")
@click.option("--status", type=click.Choice([queue.Status.DUE.value, queue.Status.HELD.value]))
@click.option("--most", type=click.IntRange(1), default=1000, show_default=True)
@common
def list_all(cli: Cli, status: str | None, most: int) -> None:
    """List the copies that wait, the one that is due first on top."""
    found = cli.read(lambda tx: queue.waiting(tx, most))
    cli.table(_HEADS, [_row(cli, one) for one in found if status in (None, one.status)], "cli.queue-empty")


@COMMAND.command()
@click.argument("id")
@common
def show(cli: Cli, id: str) -> None:
    """Show all copies of the message ID, finished ones too. ID is our id or a Message-ID."""
    found = cli.read(lambda tx: [one for envelope in _wanted(cli, tx, id) for one in queue.of_envelope(tx, envelope)])
    cli.table(_HEADS, [_row(cli, one) for one in found], "cli.queue-none-of-it")


def _action(name: str, change: Callable[[Tx, EnvelopeId, Millis], int]) -> None:
    """Make the subcommand NAME, which changes copies and notes in their journeys who did that."""

    @COMMAND.command(name)
    @click.argument("ids", nargs=-1)
    @click.option("--all", "everything", is_flag=True)
    @common
    def subcommand(cli: Cli, ids: tuple[str, ...], everything: bool) -> None:
        if bool(ids) == everything:
            raise Misuse(cli.text("cli.queue-which"))
        envelopes = cli.read(lambda tx: _everything(tx) if everything else [each for id in ids for each in _wanted(cli, tx, id)])
        changed = _change(cli, name, change, envelopes)
        if not changed and not everything:
            raise Failure(cli.text("cli.queue-none-of-it"))
        cli.give({"copies": changed}, lambda: cli.text("cli.queue-changed", copies=changed, action=cli.text(f"timeline.word.{name}")))


_action("retry", queue.retry)
_action("hold", queue.hold)
_action("release", queue.retry)
_action("drop", lambda tx, envelope, now: queue.drop(tx, envelope, now, "dropped by hand"))


def _change(cli: Cli, name: str, change: Callable[[Tx, EnvelopeId, Millis], int], envelopes: Sequence[EnvelopeId]) -> int:
    now = SystemClock().now()
    step = Handled(now, name, getpass.getuser())

    def one(envelope: EnvelopeId) -> Callable[[Tx], int]:
        def work(tx: Tx) -> int:
            copies = change(tx, envelope, now)
            if copies:
                journeys.add_steps(tx, envelope, [step])
                poison.forget_copies(tx, envelope)
            return copies

        return work

    async def all_of_them() -> int:
        done = 0
        for envelope in envelopes:
            done += await database.write(one(envelope))
            move(1)
        _wake_courier(run_dir)
        return done

    run_dir = Path(cli.config().data_dir) / "run"
    with cli.store(create=False) as database, progress(name, len(envelopes), quiet=cli.as_json or len(envelopes) < 20) as move:
        return run(all_of_them())


def _wake_courier(run_dir: Path) -> None:
    """Tell a server that runs to look again; without one there is nobody to tell."""
    if run_dir.is_dir():
        changes = Changes(run_dir, _NODES + os.getpid())
        changes.poke(QUEUE)
        changes.close()


def _everything(tx: Tx) -> list[EnvelopeId]:
    return list(dict.fromkeys(one.envelope for one in queue.waiting(tx, _ALL)))


def _wanted(cli: Cli, tx: Tx, id: str) -> list[EnvelopeId]:
    found = [envelope for envelope in journeys.find(tx, id) if queue.of_envelope(tx, envelope)]
    if not found:
        raise Failure(cli.text("cli.queue-no-message", id=id))
    return found


def _row(cli: Cli, one: Waiting) -> tuple[object, ...]:
    sender = one.sender if cli.as_json else f"<{one.sender}>"
    due: object = one.due_at if cli.as_json else moment(one.due_at).strftime("%Y-%m-%d %H:%M:%S")
    return id_text(one.envelope), one.status, sender, one.recipient, one.next_hop, one.attempts, due, one.reply
