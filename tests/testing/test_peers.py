"""Scripted hosts do what they are told."""

from __future__ import annotations

import smtplib
import socket
import ssl
from pathlib import Path

import pytest
from tests.services.relay import server_tls

from ekiden.testing.peers import ABORT, CLOSE, Drip, Raw, ScriptedHost


def test_a_letter_as_it_came_and_as_it_was_meant() -> None:
    with ScriptedHost() as host:
        with smtplib.SMTP("127.0.0.1", host.port) as client:
            client.sendmail("a@one.test", ["b@remote.test", "c@remote.test"], b"Subject: x\r\n\r\n.dot\r\n")
        assert host.connections == 1
    [letter] = host.messages
    assert (letter.sender, letter.recipients, letter.secure) == ("a@one.test", ("b@remote.test", "c@remote.test"), False)
    assert letter.content == b"Subject: x\r\n\r\n.dot\r\n"
    assert letter.wire == b"Subject: x\r\n\r\n..dot\r\n.\r\n"
    assert [line[:4] for line in host.heard] == ["ehlo", "mail", "rcpt", "rcpt", "data", "QUIT"]


def test_actions_take_turns_over_all_connections() -> None:
    with ScriptedHost(says={"MAIL": ["451 later", "250 ok"]}, recipients={"b@remote.test": "550 5.1.1 no"}) as host:
        codes = []
        for _ in range(3):
            with smtplib.SMTP("127.0.0.1", host.port) as client:
                client.ehlo()
                codes.append(client.mail("a@one.test")[0])
                codes.append(client.rcpt("b@remote.test")[0])
    assert codes == [451, 550, 250, 550, 250, 550]
    assert host.messages == []


def test_tls_in_both_ways(tmp_path: Path) -> None:
    trust = ssl.create_default_context()
    context = server_tls(tmp_path)
    trust.load_verify_locations(tmp_path / "chain.pem")
    with ScriptedHost(tls=context) as host, smtplib.SMTP("localhost", host.port) as client:
        client.starttls(context=trust)
        client.sendmail("a@one.test", ["b@remote.test"], b"x\r\n")
    assert host.messages[0].secure
    with ScriptedHost(tls=context, implicit_tls=True) as host, smtplib.SMTP_SSL("localhost", host.port, context=trust) as secured:
        assert secured.noop()[0] == 250


@pytest.mark.parametrize(
    ("action", "heard"),
    [(CLOSE, b""), (ABORT, None), (Raw(b"xyz\r\n"), b"xyz\r\n"), (Drip(b"abc", 0.001), b"abc"), ("220 hi", b"220 hi\r\n")],
)
def test_banners_of_all_kinds(action: str, heard: bytes | None) -> None:
    with ScriptedHost(says={"banner": action}) as host, socket.create_connection(("127.0.0.1", host.port)) as client:
        client.settimeout(5)
        found = b""
        try:
            while not heard or len(found) < len(heard):
                data = client.recv(100)
                if not data:
                    break
                found += data
        except ConnectionResetError:
            assert heard is None
            return
    assert found == heard
