"""Help pages in every language."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from tests.app.calls import Calls

from ekiden.__main__ import cli
from ekiden.app.helptext import in_language, option_name
from ekiden.base.texts import catalogue, languages


def _all(command: click.Command, path: str, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _all(inner, f"{path} {name}", context)


@pytest.fixture
def every() -> dict[str, click.Command]:
    context = click.Context(cli, info_name="ekiden")
    return dict(_all(cli, "ekiden", context))


def test_every_command_has_a_page_and_no_page_is_left_over(every: dict[str, click.Command]) -> None:
    told = {key.removeprefix("help.") for key in catalogue("en") if key.startswith("help.")}
    assert told == set(every)


def test_every_option_is_explained_and_no_explanation_is_left_over(every: dict[str, click.Command]) -> None:
    options = {option_name(each) for command in every.values() for each in command.params if isinstance(each, click.Option)}
    told = {key.removeprefix("help-option.") for key in catalogue("en") if key.startswith("help-option.")}
    assert told == options


@pytest.mark.parametrize("lang", languages())
def test_pages_are_in_the_language_that_was_asked_for(ekiden: Calls, lang: str) -> None:
    assert catalogue(lang)["help.ekiden"] in ekiden.out("--lang", lang, "--help")
    assert catalogue(lang)["help.ekiden account list"] in ekiden.out("--lang", lang, "account", "--help")
    assert catalogue(lang)["help-option.quota"][:8] in ekiden.out("--lang", lang, "account", "add", "--help")


def test_the_command_itself_stays_as_it_was() -> None:
    command = click.Command("serve", help="as it was")
    assert in_language(command, "ekiden serve", "ja").help != command.help
    assert command.help == "as it was"
    assert command.params == []
