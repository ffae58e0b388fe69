"""No descriptors left: who comes hears 421 or waits, nothing spins, the queue and the store have theirs, and it ends by itself.

Source: reliability.md §3.5, F-52.
"""

from __future__ import annotations

import os
import resource
import smtplib
from pathlib import Path

from tests.crash.faults import send, subjects
from tests.crash.limited import Limited, few_descriptors, processor_share, silent
from tests.doors.server import Ekiden, Settings
from tests.peers.process import until

from ekiden.testing.peers import ScriptedHost

LIMIT = 128
CLIENTS = 500


def _settings(smarthost: int = 9) -> Settings:
    host = [f'server = "127.0.0.1:{smarthost}"', 'tls = "none"']
    limits = ["connections_per_address = 1000", "strained_percent = 0"]
    return Settings(doors=("mx", "submissions", "imaps"), more={"limits": limits, "outbound.smarthost": host})


def _open(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _code(client: smtplib.SMTP, subject: str) -> int:
    try:
        client.sendmail("x@two.test", ["alice@one.test"], f"Subject: {subject}\r\n\r\nx\r\n".encode())
    except smtplib.SMTPRecipientsRefused as refused:
        return next(iter(refused.recipients.values()))[0]
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code
    return 250


def test_500_clients_of_a_server_with_128_descriptors(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    with ScriptedHost() as relay:
        server = Limited(tmp_path / "ekiden", certificate, _settings(relay.port), few_descriptors(LIMIT))
        until(lambda: "event='descriptors-few'" in server.log(), "the log says that they are few")
        assert f"limit={LIMIT}" in server.log()
        with server.smtp("submissions", "alice") as sender, server.imap("bob") as reader, silent(server.ports["mx"]) as clients:
            clients.come(CLIENTS, many_addresses=False)
            heard = clients.listen(20, lambda heard: not heard[""])
            assert set(heard) == {"220", "421"}, heard
            assert heard["220"] >= 20, heard
            assert clients.broken == 0
            assert processor_share(server.pid, 2.0) < 0.1
            assert _open(server.pid) <= LIMIT - 20
            large = b"Subject: large\r\n\r\n" + b"some text of a message\r\n" * 50_000
            sender.sendmail("alice@one.test", ["x@two.test", "bob@one.test"], large)
            until(lambda: len(relay.messages) == 1, "the queue delivers beside them")
            assert reader.select("INBOX")[1] == [b"1"]
            assert reader.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[0] == "OK"
            assert server.command("queue", "list", "--json").strip() == "[]"
        until(lambda: send(server, "alice@one.test", "again")[0] == 250, "those who left have left their places")
        assert subjects(server, "alice") == ["again"]
        server.stop()


def test_where_the_system_gives_no_descriptor_accepting_pauses_and_goes_on(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    server = Ekiden(tmp_path / "ekiden", certificate, _settings())
    with server.smtp("mx") as before, silent(server.ports["mx"]) as clients:
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (_open(server.pid) + 10, hard))
        clients.come(60, many_addresses=False)
        until(lambda: "event='accepting-paused'" in server.log(), "accepting pauses")
        heard = clients.listen(1.0)
        assert heard[""] >= 45, heard
        assert processor_share(server.pid, 2.0) < 0.1
        # The store may have to open its database a second time now, and the other processes cannot be told of a change.
        codes = [_code(before, f"m{number}") for number in range(5)]
        assert set(codes) <= {250, 451}
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert clients.listen(15, lambda heard: not heard[""]) == {"220": 60}
        assert clients.broken == 0
        codes.append(_code(before, "m5"))
        assert codes[-1] == 250
    assert "event='accepting-again'" in server.log()
    assert server.log().count("event='accepting-paused'") < 5
    assert subjects(server, "alice") == [f"m{number}" for number, code in enumerate(codes) if code == 250]
    server.stop()
