"""ekiden message: what happened to a message."""

from __future__ import annotations

import shutil

import click

from ekiden.app.commandline import Cli, Failure, common, printable
from ekiden.base.clock import moment
from ekiden.base.ids import EnvelopeId, id_text
from ekiden.base.texts import text
from ekiden.mail.journey import AnyStep
from ekiden.services import timeline
from ekiden.store import journeys, refused
from ekiden.store.database import Tx

_HEADS = ("id", "at", "sender", "recipients", "message-id", "answer")


@click.group("message")
def COMMAND() -> None:
    """Follow a message on its way."""


@COMMAND.command()
@click.argument("id")
@click.option("--width", type=click.IntRange(60, 400))
@common
def trace(cli: Cli, id: str, width: int | None) -> None:
    """Print the journey of a message as a timeline.

    ID is the id in our reply to the message, or a Message-ID with or without <>. A Message-ID can name several messages of this server, for
    example one that was submitted here and arrived here again; all are printed, the oldest first.
    """
    found = cli.read(lambda tx: _journeys(tx, id))
    if not found:
        raise Failure(cli.text("cli.no-message", id=id))
    lang = cli.lang
    room = width or max(60, shutil.get_terminal_size((120, 24)).columns)

    def shown() -> str:
        parts = [text_of(number, steps, lang, room) for number, steps in found]
        return printable("\n".join(parts))

    cli.give([{"message": id_text(number), "steps": timeline.as_json(steps, lang)} for number, steps in found], shown)


@COMMAND.command("refused")
@click.argument("text", default="")
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True)
@common
def list_refused(cli: Cli, text: str, most: int) -> None:
    """List mail that was refused or put off when its content was there, the newest on top.

    TEXT is a part of its sender, recipients or Message-ID.
    """
    found = cli.read(lambda tx: refused.latest(tx, text, most))
    cli.table(_HEADS, [_row(cli, each) for each in found], "cli.refused-none")


def _row(cli: Cli, each: refused.Refusal) -> tuple[object, ...]:
    at: object = each.at if cli.as_json else moment(each.at).strftime("%Y-%m-%d %H:%M:%S")
    sender = each.sender if cli.as_json else f"<{each.sender}>"
    return id_text(each.id), at, sender, each.recipients, each.message_id, each.reply


def text_of(number: EnvelopeId, steps: list[AnyStep], lang: str, width: int) -> str:
    """One journey under the id of its message."""
    return f"{text('timeline.message', lang, id=id_text(number))}\n{timeline.render(steps, lang, width)}"


def _journeys(tx: Tx, wanted: str) -> list[tuple[EnvelopeId, list[AnyStep]]]:
    return [(number, journeys.steps_of(tx, number)) for number in sorted(journeys.find(tx, wanted))]
