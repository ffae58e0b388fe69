"""Keys that are made and activated by a command while the server runs, in another process: the server signs with them from then on."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.doors.server import Ekiden, Settings
from tests.peers.process import until

LETTER = b"From: alice@one.test\r\nTo: bob@one.test\r\nSubject: %d\r\n\r\nhello\r\n"


def _selectors(server: Ekiden, number: int) -> set[str]:
    """Who has signed the next letter of alice's."""
    with server.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", ["bob@one.test"], LETTER % number)
    (message,) = [each for each in server.wait_inbox("bob", number) if b"Subject: %d\r\n" % number in each]
    head = re.sub(rb"\r\n[ \t]+", b" ", message.partition(b"\r\n\r\n")[0])
    return {found.decode() for found in re.findall(rb"(?m)^DKIM-Signature:[^\r]*?\bs=([0-9a-z-]+);", head)}


def test_a_server_that_runs_signs_with_a_new_key_once_it_is_active(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    """With two processes: each of them has to hear of it."""
    server = Ekiden(tmp_path / "one", certificate, Settings(doors=("submissions", "imaps"), more={"": ["processes = 2"]}))
    try:
        assert _selectors(server, 1) == set()
        made = json.loads(server.command("dkim", "new", "one.test", "--selector", "first", "--json"))
        names = {each["name"].partition(".")[0] for each in made}
        assert len(names) == 2  # RSA and Ed25519
        assert _selectors(server, 2) == set(), "a new key signs nothing before it is active"
        server.command("dkim", "activate", "one.test", "--force")
        numbers = iter(range(3, 200))
        until(lambda: _selectors(server, next(numbers)) == names, "the server signs with the new keys", 10)
        for _ in range(4):
            assert _selectors(server, next(numbers)) == names, "whichever process takes it"
        server.command("dkim", "rotate", "one.test", "--selector", "second")
        server.command("dkim", "activate", "one.test", "--force")
        until(lambda: not _selectors(server, next(numbers)) & names, "the former keys sign no more", 10)
        for _ in range(4):
            found = _selectors(server, next(numbers))
            assert len(found) == 2
            assert not found & names
        server.stop()
    finally:
        server.kill()
