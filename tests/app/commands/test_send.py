"""ekiden send, queue and message, with a server that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.server import PASSWORD, Ekiden, Settings

SETTINGS = Settings(doors=("mx", "submission", "submissions"), more={"outbound": ["hold = true"]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    running = Ekiden(tmp_path_factory.mktemp("ekiden"), certificate, SETTINGS)
    yield running
    running.stop()


def test_a_message_comes_in_and_the_dialogue_is_shown(server: Ekiden) -> None:
    told = server.command("send", "--from", "x@two.test", "--to", "alice@one.test", "--subject", "会議", "--body", ".hi\nこんにちは", "-v")
    assert "> STARTTLS" in told
    assert "* TLSv1.3" in told
    assert "< 250 2.1.5" in told
    assert "alice@one.test  250 2.0.0" in told


def test_a_refused_recipient_is_told_beside_an_accepted_one(server: Ekiden) -> None:
    told = server.command("send", "--from", "x@two.test", "--to", "alice@one.test", "--to", "nobody@one.test", status=1)
    assert "nobody@one.test  550 5.1.1" in told
    assert "alice@one.test   250 2.0.0" in told


def test_a_file_is_sent_with_its_line_ends_mended(server: Ekiden, tmp_path: Path) -> None:
    file = tmp_path / "letter.eml"
    file.write_bytes(b"Subject: x\nMessage-ID: <file@two.test>\n\nbody\r\nend")
    server.command("send", "--from", "", "--to", "alice@one.test", "--file", str(file))
    assert "MAIL FROM:<>" in server.command("message", "trace", "<file@two.test>")


@pytest.mark.parametrize("tls", ["auto", "starttls"])
def test_mail_of_a_signed_in_person_waits_and_is_taken_in_hand(server: Ekiden, tls: str) -> None:
    words = ("send", "--from", "alice@one.test", "--to", "x@two.test", "--user", "alice@one.test", "--password-stdin", "--tls", tls)
    sent = json.loads(server.command(*words, "--json", input=PASSWORD + "\n"))
    assert sent["tls"]["version"] == "TLSv1.3"
    assert PASSWORD not in str(sent)
    (waiting,) = json.loads(server.command("queue", "list", "--json"))
    assert (waiting["status"], waiting["recipient"], waiting["next-hop"]) == ("held", "x@two.test", "two.test")
    id = waiting["id"]
    assert "held" in server.command("queue", "show", id)
    assert server.command("queue", "hold", id) == "hold, copies: 1\n"
    assert server.command("queue", "drop", id) == "drop, copies: 1\n"
    assert server.command("queue", "list") == "the queue is empty\n"
    told = server.command("message", "trace", id)
    assert "AUTH PLAIN" in told
    assert "took the message in hand: drop" in told
    (journey,) = json.loads(server.command("message", "trace", id, "--json"))
    assert journey["message"] == id
    assert [step["action"] for step in journey["steps"] if step["step"] == "handled"] == ["hold", "drop"]


def test_tls_from_the_first_byte(server: Ekiden) -> None:
    words = ("send", "--from", "alice@one.test", "--to", "bob@one.test", "--user", "alice@one.test", "--password-stdin")
    door = f"127.0.0.1:{server.ports['submissions']}"
    assert "250 2.0.0" in server.command(*words, "--server", door, "--tls", "implicit", input=PASSWORD + "\n")


def test_a_wrong_password_is_told(server: Ekiden) -> None:
    words = ("send", "--from", "alice@one.test", "--to", "bob@one.test", "--user", "alice@one.test", "--password-stdin")
    server.command(*words, input="wrong\n", status=1)


def test_a_password_is_never_sent_in_clear(server: Ekiden) -> None:
    words = ("send", "--from", "alice@one.test", "--to", "bob@one.test", "--user", "alice@one.test", "--password-stdin", "--tls", "none")
    server.command(*words, input=PASSWORD + "\n", status=1)


@pytest.mark.parametrize(("words", "status"), [
    (("--from", "x y", "--to", "alice@one.test"), 2),
    (("--from", "x@two.test", "--to", "alice"), 2),
    (("--from", "x@two.test", "--to", "alice@one.test", "--server", "::1:25"), 2),
    (("--from", "x@two.test", "--to", "alice@one.test", "--file", "/no/such/file"), 1),
    (("--from", "x@two.test", "--to", "alice@one.test", "--user", "a", "--password-stdin", "--file", "-"), 2),
])
def test_what_cannot_be_sent_is_told(server: Ekiden, words: tuple[str, ...], status: int) -> None:
    server.command("send", *words, status=status)


def test_a_running_server_tries_at_once_what_was_released(server: Ekiden) -> None:
    words = ("send", "--from", "alice@one.test", "--to", "y@two.test", "--user", "alice@one.test", "--password-stdin")
    server.command(*words, input=PASSWORD + "\n")
    server.command("queue", "release", "--all")
    for _ in range(30):  # each look takes a third of a second
        (waiting,) = json.loads(server.command("queue", "list", "--json"))
        if waiting["attempts"]:
            break
    assert waiting["attempts"] == 1
    assert "DNS" in waiting["reply"]
    server.command("queue", "drop", "--all")
