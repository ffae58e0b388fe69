"""Certificates that change on disk while the server serves: the next handshake has the new one, who is connected stays connected.

Source: reliability.md §3 (F-57).
"""

from __future__ import annotations

import datetime
import imaplib
import os
import smtplib
import ssl
from pathlib import Path

import pytest
from tests.app.test_expiry import write_certificate
from tests.doors.server import Ekiden, Settings
from tests.peers.certificates import make_certificate
from tests.peers.process import until

DOORS = ("mx", "submission", "submissions", "imaps")


def _shown(server: Ekiden) -> set[bytes]:
    """The certificates that handshakes get now, over SMTP and IMAP, with STARTTLS and without; two at each door."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found: set[bytes | None] = set()
    for _ in range(2):
        for door in ("mx", "submission"):
            with smtplib.SMTP("localhost", server.ports[door], timeout=30) as client:
                client.starttls(context=context)
                assert isinstance(client.sock, ssl.SSLSocket)
                found.add(client.sock.getpeercert(binary_form=True))
        with smtplib.SMTP_SSL("localhost", server.ports["submissions"], timeout=30, context=context) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            found.add(client.sock.getpeercert(binary_form=True))
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=context, timeout=30) as reader:
            assert isinstance(reader.sock, ssl.SSLSocket)
            found.add(reader.sock.getpeercert(binary_form=True))
    return {certificate for certificate in found if certificate is not None}


class _Files:
    """The files of the configuration, and what is put in their place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "served").mkdir()
        self.pair = make_certificate(folder / "served", "localhost")

    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.pair[0].read_text())

    def renew(self, name: str) -> None:
        """Another good pair, as an ACME client would put it there."""
        (self.folder / name).mkdir()
        chain, key, _ = make_certificate(self.folder / name, "localhost")
        os.replace(key, self.pair[1])
        os.replace(chain, self.pair[0])

    def put_expired(self) -> None:
        """A pair that fits together and ended yesterday."""
        end = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        key = write_certificate(self.folder / "expired.pem", end)
        self.pair[1].write_bytes(key)
        os.replace(self.folder / "expired.pem", self.pair[0])


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_a_renewed_certificate_is_served_and_a_bad_one_is_not(tmp_path: Path, processes: int) -> None:
    files = _Files(tmp_path)
    first = files.der()
    server = Ekiden(tmp_path / "ekiden", files.pair, Settings(doors=DOORS, more={"": [f"processes = {processes}"]}))
    until(lambda: server.log().count("event='serving'") == (1 if processes == 1 else processes + 1), "all serve")
    assert _shown(server) == {first}
    with server.smtp("submissions", "alice") as sender, server.imap("bob") as reader:
        reader.select("INBOX")
        files.renew("second")
        second = files.der()
        assert server.command("reload") == "the configuration was read again; no setting has changed\n"
        assert _shown(server) == {second}
        sender.sendmail("alice@one.test", ["bob@one.test"], b"Subject: on an old connection\r\n\r\nx\r\n")
        until(lambda: reader.noop()[0] == "OK" and reader.response("EXISTS")[1][-1] == b"1", "the other old connection hears of it")
    good_key = files.pair[1].read_bytes()
    files.pair[1].write_text("no key\n")
    server.command("reload", status=1)
    assert f"tls.key: {files.pair[1]} is no private key" in server.log()
    assert _shown(server) == {second}
    files.pair[1].write_bytes(good_key)
    files.put_expired()
    server.command("reload", status=1)
    assert f"tls.certificate: {files.pair[0]} expired at" in server.log()
    assert _shown(server) == {second}
    files.renew("third")
    if processes == 1:
        server.command("reload")
        assert _shown(server) == {files.der()}
    else:
        until(lambda: _shown(server) == {files.der()}, "handshakes have it without a reload", 15)
    assert server.log().count("event='certificate-broken'") <= 2 * (processes + 1)
    server.stop()
