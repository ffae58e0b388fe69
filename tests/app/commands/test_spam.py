"""ekiden spam: teaching from files, asking, listing, forgetting."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.app.calls import Calls
from tests.mail.letters import letters

from ekiden.base.ids import AccountId
from ekiden.store.changes import taught_of
from ekiden.store.lessons import EVERYBODY


def _write(folder: Path, seed: int, count: int, language: str = "ja") -> tuple[Path, Path]:
    """A folder of spam and an mbox of ham."""
    files, mbox = folder / f"spam-{seed}", folder / f"ham-{seed}.mbox"
    files.mkdir()
    wanted = []
    for number, one in enumerate(letters(count, seed, language)):
        if one.is_spam:
            (files / f"{number}.eml").write_bytes(one.raw)
        else:
            wanted.append(b"From x Tue Nov 24 10:00:00 2026\r\n" + one.raw + b"\r\n\r\n")
    mbox.write_bytes(b"".join(wanted))
    return files, mbox


@pytest.fixture
def taught(peopled: Calls) -> Calls:
    """Everybody has been taught 60 messages of each kind."""
    unwanted, wanted = _write(peopled.folder, 1, 60)
    assert "迷惑メールとして学習しました: 60通" in peopled.out("spam", "learn", "--spam", str(unwanted), "--lang", "ja")
    assert "as wanted for everybody: 60 messages; known already: 0" in peopled.out("spam", "learn", "--ham", str(wanted))
    return peopled


def _ask(calls: Calls, is_spam: bool, *words: str) -> Any:
    raw = next(one.raw for one in letters(1, 9, "ja") if one.is_spam is is_spam)
    (calls.folder / "asked.eml").write_bytes(raw)
    return calls.json("spam", "test", str(calls.folder / "asked.eml"), *words)


def test_what_was_taught_for_everybody_is_an_opinion_with_its_words(taught: Calls) -> None:
    assert _ask(taught, True)["probability"] > 0.95
    told = _ask(taught, False, "--account", "alice@one.test")
    assert told["probability"] < 0.05
    assert told["words"][0]["side"] == "ham"
    assert (told["taught"], told["account"]) == ({"spam": 60, "ham": 60}, "alice@one.test")
    shown = taught.out("spam", "test", str(taught.folder / "asked.eml"))
    assert "% like what was thrown away" in shown.split("\n")[0]
    assert shown.split("\n")[2].endswith("wanted")
    result = taught.run("spam", "test", "--json", input=(taught.folder / "asked.eml").read_bytes())
    assert json.loads(result.stdout)["probability"] < 0.05


def test_the_same_again_is_known_and_the_opposite_is_undone(taught: Calls) -> None:
    again = taught.json("spam", "learn", "--spam", str(taught.folder / "spam-1"))
    assert again == {"account": None, "side": "spam", "learned": 0, "known": 60}
    one = next((taught.folder / "spam-1").iterdir())
    assert taught.json("spam", "learn", "--ham", str(one))["learned"] == 1
    assert [(row["spam"], row["ham"]) for row in taught.json("spam", "stats")] == [(59, 61)]


def test_accounts_are_taught_listed_and_forgotten_alone(taught: Calls) -> None:
    unwanted, _ = _write(taught.folder, 2, 12)
    taught.out("spam", "learn", "--ham", "--account", "alice@one.test", str(unwanted))
    everybody, alice = taught.json("spam", "stats")
    assert (everybody["account"], everybody["spam"], everybody["waiting"]) == (None, 60, 0)
    assert (alice["account"], alice["spam"], alice["ham"]) == ("alice@one.test", 0, 12)
    assert alice["words"] > 100
    assert [line.split()[0] for line in taught.out("spam", "stats").split("\n")[1:3]] == ["everybody", "alice@one.test"]
    assert "Forget everything" in taught.run("spam", "forget", "--account", "alice@one.test", input="n\n").stderr
    assert len(taught.json("spam", "stats")) == 2
    taught.out("spam", "forget", "--account", "alice@one.test", "--yes")
    assert [row["account"] for row in taught.json("spam", "stats")] == [None]
    assert "nothing has been taught" in taught.out("spam", "forget", "--account", "alice@one.test", "--yes")
    taught.out("spam", "forget", "--everybody", "--yes")
    assert taught.json("spam", "stats") == []
    assert taught.out("spam", "stats") == "nothing has been taught\n"
    assert "no opinion: 0 unwanted and 0 wanted" in taught.out("spam", "test", str(taught.folder / "ham-1.mbox"))


def test_a_server_that_runs_is_told(taught: Calls) -> None:
    one = str(next((taught.folder / "spam-1").iterdir()))
    taught.out("spam", "learn", "--ham", one)
    assert not (taught.folder / "data" / "run").exists(), "nobody serves, nobody is told"
    (taught.folder / "data" / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(taught.folder / "data" / "run" / "poke-0"))
        server.settimeout(5)
        for words, account in (
            (("learn", "--spam", one), EVERYBODY),
            (("learn", "--spam", "--account", "alice@one.test", one), AccountId(1)),
            (("forget", "--account", "alice@one.test", "--yes"), AccountId(1)),
        ):
            taught.out("spam", *words)
            told = [struct.unpack("!q", server.recv(64))[0] for _ in range(2)]
            assert told[1] == taught_of(account), "after the greeting of a process that has come"


def test_mistakes_are_named(peopled: Calls) -> None:
    assert "either --spam or --ham" in peopled.fails("spam", "learn", "x", status=2)
    assert "either --spam or --ham" in peopled.fails("spam", "learn", "--spam", "--ham", "x", status=2)
    assert "nowhere" in peopled.fails("spam", "learn", "--spam", "nowhere")
    assert "nowhere" in peopled.fails("spam", "test", "nowhere")
    assert "bob" in peopled.fails("spam", "test", "--account", "bob", str(peopled.file), status=2)
    assert "--everybody" in peopled.fails("spam", "forget", status=2)
    assert "--everybody" in peopled.fails("spam", "forget", "--everybody", "--account", "alice@one.test", status=2)
    probability = peopled.json("spam", "test", str(peopled.file))["probability"]
    assert probability is None
