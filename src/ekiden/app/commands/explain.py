"""ekiden explain: what a reply, a status code, a command or an extension means."""

from __future__ import annotations

from dataclasses import asdict

import click

from ekiden.app.commandline import Cli, Misuse, common
from ekiden.services.explain import Explanation, UnknownWord, explain, facts
from ekiden.services.timeline import columns, pad


@click.command("explain")
@click.argument("words", nargs=-1)
@click.option("--list", "list_all", is_flag=True)
@common
def COMMAND(cli: Cli, words: tuple[str, ...], list_all: bool) -> None:
    """Say what 550, 5.1.1, RCPT or a whole reply line means, who must act, and where it is written."""
    if list_all:
        rows = [(cli.text(f"explain.kind.{fact.kind}"), _listed(fact.kind, fact.word), fact.rfc) for fact in facts()]
        cli.table(("kind", "word", "rfc"), rows, "cli.no-words")
        return
    if not words:
        raise Misuse(cli.text("cli.explain-what"))
    try:
        found = explain(" ".join(words), cli.lang)
    except UnknownWord as unknown:
        key = "explain.unknown-near" if unknown.near else "explain.unknown"
        raise Misuse(cli.text(key, word=unknown.word[:80], nearest=", ".join(unknown.near))) from None
    cli.give([asdict(one) for one in found], lambda: "\n\n".join(_shown(cli, one) for one in found))


def _listed(kind: str, word: str) -> str:
    return f"x.{word}" if kind == "enhanced" else word


def _shown(cli: Cli, one: Explanation) -> str:
    labels = [cli.text(f"explain.label-{name}") for name in ("means", "who", "where")]
    width = max(columns(label) for label in labels)
    told = zip(labels, (one.means, one.who, one.rfc), strict=True)
    return "\n".join([f"{one.word}  ({one.kind})", *(f"  {pad(label, width)}  {value}" for label, value in told)])
