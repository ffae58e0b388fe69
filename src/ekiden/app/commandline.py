"""What every command of the command line shares: options, language, output for people and for programs, and the store.

A command prints tables and sentences for people, or one JSON document with --json. What goes wrong is one line on standard
error; the exit status is 1 for what failed and 2 for what was asked wrongly.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tomllib
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from ekiden.app import config as configuration
from ekiden.base.errors import ConfigError, EkidenError
from ekiden.base.texts import languages, text
from ekiden.services.timeline import columns, pad

if TYPE_CHECKING:
    from ekiden.store.database import Database, Tx

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_NOTES = "ekiden.options"

PLACES = (Path("ekiden.toml"), Path("/etc/ekiden/ekiden.toml"), Path("dev-data/ekiden.toml"))
"""Where a configuration is looked for when none is named, the best one first."""


class Failure(click.ClickException):
    """Something did not work: one line on standard error, exit status 1."""

    def show(self, file: Any = None) -> None:
        """As "ekiden: …", one line for each line of the message."""
        for line in self.message.split("\n"):
            click.echo(f"ekiden: {printable(line)}", err=True, file=file)


class Misuse(Failure):
    """Something was asked that cannot be done: exit status 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Cli:
    """What the options that every command has were set to. file: None looks in PLACES."""

    file: Path | None
    chosen_language: str | None
    as_json: bool

    @property
    def lang(self) -> str:
        """--lang, or EKIDEN_LANGUAGE, or the configuration's language if there is one, or English."""
        named = self.chosen_language or os.environ.get("EKIDEN_LANGUAGE")
        return str(named) if named in languages() else _language_of(self.config_path())

    def config_path(self) -> Path | None:
        """The file that is meant; None where there is none, so that only the environment speaks."""
        return self.file or next((place for place in PLACES if place.exists()), None)

    def config(self) -> configuration.Config:
        """The configuration; what is wrong with it ends the command."""
        path = self.config_path()
        lang = self.chosen_language or os.environ.get("EKIDEN_LANGUAGE") or languages()[0]
        if path is None and "EKIDEN_HOSTNAME" not in os.environ:
            raise Misuse(text("cli.no-config", lang, places=", ".join(str(place) for place in PLACES)))
        try:
            return configuration.load(path, os.environ, lang)
        except ConfigError as error:
            raise Failure("\n".join(error.problems)) from error

    def text(self, key: str, **fields: object) -> str:
        """A sentence of the catalogue in the language of this call."""
        return text(key, self.lang, **fields)

    def say(self, key: str, **fields: object) -> None:
        """Tell a person that something was done; programs see the exit status."""
        if not self.as_json:
            click.echo(printable(self.text(key, **fields)))

    def give(self, value: object, shown: Callable[[], str]) -> None:
        """The result of a command: a JSON document, or what shown() makes for people."""
        click.echo(as_json(value) if self.as_json else shown().rstrip("\n"))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
        """Rows for people under heads ("cli.head-…"), or a list of objects; empty: the key of the sentence for no rows."""
        if self.as_json:
            click.echo(as_json([dict(zip(heads, row, strict=True)) for row in rows]))
        elif not rows:
            click.echo(self.text(empty))
        else:
            print_table([self.text(f"cli.head-{head}") for head in heads], [[cell_text(cell) for cell in row] for row in rows])

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run a function on a snapshot of the store."""
        with self.store(create=False) as database:
            return run(database.read(work))

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run a function in a transaction of the store."""
        with self.store(create=True) as database:
            return run(database.write(work))

    def data_dir(self) -> Path:
        """The folder of the store, also where something else is wrong with the configuration."""
        path = self.config_path()
        try:
            return Path(self.config().data_dir)
        except Failure:
            try:
                table = tomllib.loads(path.read_text("utf-8")) if path is not None else {}
            except (OSError, ValueError):
                table = {}
            named = os.environ.get("EKIDEN_DATA_DIR", table.get("data_dir"))
            if path is None or not isinstance(named, str):
                raise
            return path.absolute().parent / named

    def become_owner(self, folder: Path | None = None) -> None:
        """Act as the one who owns the folder of the store, if there is one, so that no file of root's is left in it."""
        folder = folder or Path(self.config().data_dir)
        if folder.is_dir():
            _become_owner(folder)

    @contextmanager
    def store(self, *, create: bool) -> Iterator[Database]:
        """The open store of the configuration. create: make it where it is not there yet."""
        from ekiden.store.database import open_database

        config = self.config()
        scheme, _, rest = config.store_url.partition("://")
        if scheme == "sqlite":
            from ekiden.store.engines import sqlite  # noqa: F401 - while root may still read everything

            _enter(config, Path(rest), create, self)
        try:
            database = open_database(config.store_url)
        except EkidenError as error:
            raise Failure(str(error)) from error
        try:
            yield database
        finally:
            database.close()


def common(command: Callable[Concatenate[Cli, P], R]) -> Callable[P, R]:
    """Give a command --config, --lang and --json, and a Cli as its first argument; errors of the house become one line."""

    @click.option("--config", type=click.Path(path_type=Path), expose_value=False, callback=_note)
    @click.option("--lang", type=click.Choice(languages()), expose_value=False, callback=_note)
    @click.option("--json", is_flag=True, expose_value=False, callback=_note)
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        context = click.get_current_context()
        cli = context.find_object(Cli) or Cli(None, None, False)
        for name, value in context.meta.get(_NOTES, {}).items():
            cli = replace(cli, **{name: value})
        try:
            return command(cli, *args, **kwargs)
        except ConfigError as error:
            raise Failure("\n".join(error.problems)) from error
        except EkidenError as error:
            raise Failure(str(error)) from error

    return wrapped


@functools.cache
def _language_of(file: Path | None) -> str:
    try:
        return configuration.load(file, os.environ).language
    except ConfigError:
        return languages()[0]


def _note(context: click.Context, option: click.Parameter, value: object) -> None:
    """Keep what a command's own --config, --lang or --json says; it wins over the same option before the command's name."""
    field = {"config": "file", "lang": "chosen_language", "json": "as_json"}[str(option.name)]
    if value:
        context.meta.setdefault(_NOTES, {})[field] = value


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a coroutine, in an event loop of its own."""
    import asyncio  # many commands do without

    return asyncio.run(work)


def as_json(value: object) -> str:
    """A JSON document; what JSON does not know is written as text."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def printable(shown: str) -> str:
    """The text without control characters, which could play tricks on a terminal; they become "?"."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in shown)


def cell_text(cell: object) -> str:
    """One value in a table."""
    if cell is None:
        return ""
    if isinstance(cell, (list, tuple)):
        return ", ".join(cell_text(each) for each in cell)
    return str(cell)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: drawn where a person looks at a terminal, plain columns without wrapping elsewhere."""
    clean = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*heads, header_style="bold")
        for row in clean:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(columns(row[number]) for row in [list(heads), *clean]) for number in range(len(heads))]
    for row in [list(heads), *clean]:
        click.echo("  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip(" "))


@contextmanager
def progress(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar on standard error for work of total steps; the function that is yielded moves it on. quiet: no bar."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def ask_password(cli: Cli, *, from_stdin: bool, twice: bool = True) -> str:
    """A password from standard input or from a prompt, never from the arguments, where other users could see it."""
    if from_stdin:
        return sys.stdin.buffer.readline().decode("utf-8", "surrogateescape").rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Misuse(cli.text("cli.password-stdin"))
    again = cli.text("cli.password-again") if twice else False
    return str(click.prompt(cli.text("cli.password"), hide_input=True, confirmation_prompt=again))


def _enter(config: configuration.Config, database: Path, create: bool, cli: Cli) -> None:
    """See that the store is there, and act as the one who owns its folder, so that no file of root's is left in it."""
    folder = Path(config.data_dir)
    if not database.exists():
        if not create:
            raise Failure(cli.text("cli.no-store", path=database))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0 and config.user is not None:
            import pwd  # only where there are system users

            entry = pwd.getpwnam(config.user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
    _become_owner(folder)


def _become_owner(folder: Path) -> None:
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([])
        os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)


def plain(value: Mapping[str, object]) -> str:
    """Names and values, one pair a line."""
    width = max((columns(name) for name in value), default=0)
    return "\n".join(printable(f"{pad(name, width)}  {cell_text(cell)}".rstrip(" ")) for name, cell in value.items())
