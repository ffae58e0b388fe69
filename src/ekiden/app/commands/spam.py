"""ekiden spam: what is known of wanted and unwanted mail, taught by the operator and by readers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import click

from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, common, print_table, run
from ekiden.app.commands.account import named
from ekiden.app.mail_files import messages_in
from ekiden.base.ids import AccountId
from ekiden.mail.bayes import ENOUGH, NEVER, Opinion, Seen
from ekiden.mail.words import words_of
from ekiden.services.learning import LOOKED_AT, WORDS_AT_ONCE, keys_in
from ekiden.services.likeness import opinion
from ekiden.store import accounts, lessons
from ekiden.store.changes import Changes, taught_of
from ekiden.store.database import Tx
from ekiden.store.lessons import EVERYBODY, Side

_NODES = 3_000_000  # far above the numbers of processes that serve
_WORDS_SHOWN = 30


@click.group("spam")
def COMMAND() -> None:
    """Teach what is wanted and what is not, and see what has been learned."""


@COMMAND.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--spam", "is_spam", is_flag=True)
@click.option("--ham", "is_ham", is_flag=True)
@click.option("--account", "name")
@common
def learn(cli: Cli, places: tuple[Path, ...], is_spam: bool, is_ham: bool, name: str | None) -> None:
    """Learn messages in files, mboxes or Maildirs as unwanted or as wanted."""
    if is_spam == is_ham:
        raise Misuse(cli.text("spam.one-side"))
    side = Side.SPAM if is_spam else Side.HAM
    now = SystemClock().now()
    learned = known = 0
    with cli.store(create=True) as database:
        account = run(database.read(lambda tx: _account(cli, tx, name)))
        for some in _some_at_once(_messages(places)):

            def work(tx: Tx, some: Sequence[tuple[bytes, list[int]]] = some) -> int:
                return sum(lessons.learn(tx, account, digest, side, keys, now) for digest, keys in some)

            new = run(database.write(work))
            learned += new
            known += len(some) - new
    _tell(cli, account)
    value = {"account": name, "side": side.value, "learned": learned, "known": known}
    cli.give(value, lambda: cli.text(f"spam.learned-{side.value}", learned=learned, known=known, who=_who(cli, name)))


@COMMAND.command("test")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@click.option("--account", "name")
@common
def try_out(cli: Cli, file: Path, name: str | None) -> None:
    """Say how much a message is like what was thrown away, and which of its words say so."""
    try:
        raw = next(messages_in(file), b"")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from error
    words = words_of(raw[:LOOKED_AT])

    def work(tx: Tx) -> tuple[Opinion | None, Seen]:
        account = _account(cli, tx, name)
        taught = [each.total for each in lessons.learners(tx, {EVERYBODY, account}).values()]
        return opinion(tx, words, account), Seen(sum(each.spam for each in taught), sum(each.ham for each in taught))

    told, taught = cli.read(work)
    if cli.as_json:
        found = told.words if told is not None else ()
        shown = [{"word": each.word, "probability": round(each.probability, 4), "side": _side(each.probability)} for each in found]
        probability = told.probability if told is not None else None
        cli.give({"account": name, "probability": probability, "words": shown, "taught": taught._asdict()}, str)
    elif told is None:
        click.echo(cli.text("spam.too-little", spam=taught.spam, ham=taught.ham, enough=ENOUGH))
    else:
        click.echo(cli.text("spam.probability", percent=f"{100 * told.probability:.1f}", number=len(told.words)))
        rows = [[each.word, f"{100 * each.probability:.1f}", cli.text(f"spam.side-{_side(each.probability)}")] for each in told.words]
        if rows:
            print_table([cli.text(f"spam.head-{head}") for head in ("word", "percent", "side")], rows[:_WORDS_SHOWN])


@COMMAND.command()
@common
def stats(cli: Cli) -> None:
    """List how much each account has taught, and what was taught for everybody."""

    def work(tx: Tx) -> list[tuple[str | None, int, int, int, int]]:
        waiting = lessons.lessons_waiting(tx)
        taught = {each.account: each for each in lessons.all_learners(tx)}
        rows: list[tuple[str | None, int, int, int, int]] = []
        for account in sorted(taught.keys() | waiting.keys()):
            owner = accounts.account_by_id(tx, account) if account != EVERYBODY else None
            me = taught.get(account)
            seen = me.total if me is not None else NEVER
            rows.append((owner.name if owner else None, seen.spam, seen.ham, me.words if me is not None else 0, waiting.get(account, 0)))
        return rows

    heads = ("account", "spam", "ham", "words", "waiting")
    rows = cli.read(work)
    if cli.as_json:
        cli.give([dict(zip(heads, row, strict=True)) for row in rows], str)
    elif not rows:
        click.echo(cli.text("spam.nothing-taught"))
    else:
        print_table([cli.text(f"spam.head-{head}") for head in heads], [[_who(cli, row[0]), *map(str, row[1:])] for row in rows])


@COMMAND.command()
@click.option("--account", "name")
@click.option("--everybody", is_flag=True)
@click.option("--yes", is_flag=True)
@common
def forget(cli: Cli, name: str | None, everybody: bool, yes: bool) -> None:
    """Forget what an account has taught, or what was taught for everybody."""
    if (name is None) != everybody:
        raise Misuse(cli.text("spam.forget-whom"))
    cli.read(lambda tx: _account(cli, tx, name))
    if not yes and not click.confirm(cli.text("spam.forget-sure", who=_who(cli, name)), err=True):
        raise Failure(cli.text("cli.nothing-done"))

    def work(tx: Tx) -> tuple[AccountId, bool]:
        account = _account(cli, tx, name)
        return account, lessons.forget(tx, account)

    account, had = cli.write(work)
    _tell(cli, account)
    cli.say("spam.forgotten" if had else "spam.nothing-taught", who=_who(cli, name))


def _some_at_once(found: Iterator[tuple[bytes, list[int]]]) -> Iterator[list[tuple[bytes, list[int]]]]:
    """As many as one transaction takes without keeping a server that runs from writing for long."""
    some: list[tuple[bytes, list[int]]] = []
    words = 0
    for one in found:
        some.append(one)
        words += len(one[1])
        if words >= WORDS_AT_ONCE:
            yield some
            some, words = [], 0
    if some:
        yield some


def _messages(places: Sequence[Path]) -> Iterator[tuple[bytes, list[int]]]:
    """The hash and the words of each message."""
    for place in places:
        try:
            for raw in messages_in(place):
                yield sha256(raw).digest(), keys_in(raw)
        except OSError as error:
            raise Failure(f"{place}: {error.strerror}") from error


def _account(cli: Cli, tx: Tx, name: str | None) -> AccountId:
    return named(cli, tx, name).id if name is not None else EVERYBODY


def _who(cli: Cli, name: str | None) -> str:
    return name if name is not None else cli.text("spam.everybody")


def _side(probability: float) -> str:
    return "spam" if probability > 0.5 else "ham"


def _tell(cli: Cli, account: AccountId) -> None:
    """A server that runs looks again; without one there is nobody to tell."""
    run_dir = Path(cli.config().data_dir) / "run"
    if run_dir.is_dir():
        run(_poke(run_dir, account))


async def _poke(run_dir: Path, account: AccountId) -> None:
    changes = Changes(run_dir, _NODES + os.getpid())
    changes.poke(taught_of(account))
    changes.close()
