"""Python's own smtplib, imaplib and poplib against every door: the tour that a reader of the documentation would make."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
from email.message import EmailMessage

import pytest
from tests.doors.server import PASSWORD, Ekiden, without_prefix
from tests.doors.wire import Smtp

LETTER = (
    b"From: Carol <carol@far.test>\r\nTo: bob@one.test\r\nSubject: a letter\r\nMessage-ID: <1@far.test>\r\n\r\n.dot first\r\n\r\nend\r\n"
)


def _empty(ekiden: Ekiden, name: str) -> None:
    """Remove all mail of an account, so that each test begins alone."""
    with ekiden.imap(name) as client:
        client.select("INBOX")
        client.uid("STORE", "1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()


@pytest.mark.peer("smtplib", "imaplib", "poplib")
def test_mail_from_outside_is_read_by_imap_and_pop3(ekiden: Ekiden) -> None:
    _empty(ekiden, "bob")
    with ekiden.smtp("mx") as client:
        assert client.sendmail("carol@far.test", [ekiden.address("bob")], LETTER) == {}
    (stored,) = ekiden.wait_inbox("bob", 1)
    prefix = without_prefix(stored, LETTER)
    assert prefix.startswith(b"Return-Path: <carol@far.test>\r\n")
    with ekiden.pop3("bob") as pop3:
        assert pop3.stat() == (1, len(stored))
        assert b"\r\n".join(pop3.retr(1)[1]) + b"\r\n" == stored
        assert pop3.top(1, 0)[1][-1] == b""
        assert len(pop3.uidl()[1]) == 1


@pytest.mark.peer("smtplib")
def test_the_mx_door_takes_only_what_is_for_us(ekiden: Ekiden) -> None:
    with ekiden.smtp("mx") as client:
        client.ehlo()
        for keyword in ("pipelining", "size", "8bitmime", "enhancedstatuscodes", "starttls"):
            assert client.has_extn(keyword), keyword
        assert not client.has_extn("auth")
        assert client.noop()[0] == 250
        assert client.vrfy("bob")[0] == 252
        assert client.mail("carol@far.test")[0] == 250
        code, text = client.rcpt("nobody@one.test")
        assert (code, text[:5]) == (550, b"5.1.1")
        code, text = client.rcpt("someone@elsewhere.test")
        assert (code, text[:5]) == (550, b"5.7.1")
        assert client.rcpt("postmaster@one.test")[0] == 250
        assert client.rset()[0] == 250


@pytest.mark.peer("smtplib")
def test_mail_over_starttls_at_the_mx_door(ekiden: Ekiden) -> None:
    _empty(ekiden, "bob")
    with smtplib.SMTP("localhost", ekiden.ports["mx"], timeout=30) as client:
        client.starttls(context=ekiden.trusted())
        client.sendmail("", [ekiden.address("bob")], LETTER)
    (stored,) = ekiden.wait_inbox("bob", 1)
    assert stored.startswith(b"Return-Path: <>\r\n")
    assert b"ESMTPS" in stored.split(b"\r\n\r\n")[0]


@pytest.mark.parametrize("door", ["submission", "submissions"])
@pytest.mark.peer("smtplib")
def test_a_signed_in_account_sends_to_another(ekiden: Ekiden, door: str) -> None:
    _empty(ekiden, "bob")
    message = EmailMessage()
    message["From"], message["To"], message["Bcc"] = "alice@one.test", "bob@one.test", "alice@one.test"
    message["Subject"] = "naïve café 会議"
    message.set_content("déjà vu\n")
    with ekiden.smtp(door, "alice") as client:
        assert client.send_message(message) == {}
    (stored,) = ekiden.wait_inbox("bob", 1)
    head = stored.split(b"\r\n\r\n")[0].lower()
    assert b"\r\nmessage-id: <" in head
    assert b"\r\ndate: " in head
    assert b"\r\nbcc:" not in head


@pytest.mark.peer("smtplib")
def test_submission_wants_tls_then_a_password_then_a_sender_of_the_account(ekiden: Ekiden) -> None:
    with smtplib.SMTP("localhost", ekiden.ports["submission"], timeout=30) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.mail("alice@one.test")[0] == 530
        client.starttls(context=ekiden.trusted())
        client.ehlo()
        assert set(client.esmtp_features["auth"].split()) >= {"PLAIN", "LOGIN"}
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login("alice@one.test", "wrong")
        assert refused.value.smtp_code == 535
        client.login("alice@one.test", PASSWORD)
        refusals = [client.mail("bob@one.test"), client.rcpt("bob@one.test")]
        assert any(code in (550, 553) for code, _ in refusals), refusals


@pytest.mark.peer("smtplib")
def test_pipelined_commands_get_their_replies_in_order(ekiden: Ekiden) -> None:
    _empty(ekiden, "bob")
    with Smtp(ekiden.ports["mx"]) as client:
        client.send(b"MAIL FROM:<carol@far.test>\r\nRCPT TO:<nobody@one.test>\r\nRCPT TO:<bob@one.test>\r\nDATA\r\n")
        assert [client.reply()[0] for _ in range(4)] == [250, 550, 250, 354]
        client.send(b"Subject: piped\r\n\r\nx\r\n.\r\nQUIT\r\n")
        assert [client.reply()[0] for _ in range(2)] == [250, 221]
        assert client.line() == b""
    assert len(ekiden.wait_inbox("bob", 1)) == 1


@pytest.mark.peer("imaplib")
def test_imap_mailboxes_flags_search_copy_move_and_expunge(ekiden: Ekiden) -> None:
    with ekiden.imap("alice", starttls=True) as client:
        assert "IMAP4REV1" in client.capabilities
        folders = b"\n".join(line for line in client.list()[1] if isinstance(line, bytes))
        for use in (rb"\Sent", rb"\Trash", rb"\Drafts", rb"\Junk"):
            assert use in folders, folders
        assert client.create("Work/2026")[0] == "OK"
        assert client.append("Work/2026", r"(\Seen)", '"24-Nov-2026 10:00:00 +0900"', LETTER)[0] == "OK"
        assert client.append("Work/2026", "", "", LETTER.replace(b"a letter", b"another"))[0] == "OK"
        assert client.status("Work/2026", "(MESSAGES UNSEEN UIDNEXT)")[1][0].endswith(b"(MESSAGES 2 UNSEEN 1 UIDNEXT 3)")
        assert client.select("Work/2026") == ("OK", [b"2"])
        assert client.search(None, "SUBJECT", "another")[1] == [b"2"]
        assert client.uid("SEARCH", "FROM", "carol")[1] == [b"1 2"]
        _, found = client.fetch(
            "1", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<0.4>)"
        )
        text = b"".join(piece if isinstance(piece, bytes) else piece[0] + piece[1] for piece in found if piece is not None)
        for wanted in (
            rb"\Seen",
            b'"24-Nov-2026 01:00:00 +0000"',  # the same moment
            b"RFC822.SIZE %d" % len(LETTER),
            b'"a letter"',
            b"Subject: a letter\r\n",
            b".dot",
        ):
            assert wanted in text, (wanted, text)
        assert client.store("2", "+FLAGS", r"(\Flagged Work)")[0] == "OK"
        assert client.copy("2", "INBOX")[0] == "OK"
        assert client.uid("MOVE", "1", "Trash")[0] == "OK"
        assert client.select("Work/2026") == ("OK", [b"1"])
        assert client.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert client.expunge() == ("OK", [b"1"])
        assert client.unselect()[0] == "OK"
        assert client.rename("Work/2026", "Old")[0] == "OK"
        assert client.subscribe("Old")[0] == "OK"
        assert any(b"Old" in line for line in client.lsub()[1] if isinstance(line, bytes))
        assert client.delete("Old")[0] == "OK"
        assert client.namespace()[0] == "OK"
        assert client.select('"no such mailbox"')[0] == "NO"
        with pytest.raises(imaplib.IMAP4.error):
            client.fetch("1", "(FLAGS)")


@pytest.mark.peer("imaplib")
def test_imap_idle_tells_of_new_mail(ekiden: Ekiden) -> None:
    _empty(ekiden, "bob")
    with ekiden.imap("bob") as client:
        client.select("INBOX")
        client.send(b"idle1 IDLE\r\n")
        assert client.readline().startswith(b"+")
        with ekiden.smtp("mx") as sender:
            sender.sendmail("carol@far.test", [ekiden.address("bob")], LETTER)
        assert client.readline() == b"* 1 EXISTS\r\n"
        client.send(b"DONE\r\n")
        while not (line := client.readline()).startswith(b"idle1"):
            assert line.startswith(b"* "), line
        assert line.startswith(b"idle1 OK")


@pytest.mark.peer("imaplib")
def test_imap_refuses_passwords_in_the_clear(ekiden: Ekiden) -> None:
    with imaplib.IMAP4("localhost", ekiden.ports["imap"], timeout=30) as client:
        assert "LOGINDISABLED" in client.capabilities
        with pytest.raises(imaplib.IMAP4.error):
            client.login("alice@one.test", PASSWORD)


@pytest.mark.peer("poplib")
def test_pop3_deletes_on_quit_and_not_without(ekiden: Ekiden) -> None:
    _empty(ekiden, "bob")
    with ekiden.smtp("mx") as sender:
        for _ in range(2):
            sender.sendmail("carol@far.test", [ekiden.address("bob")], LETTER)
    with ekiden.pop3("bob", starttls=True) as client:
        assert "UIDL" in client.capa()
        client.dele(1)
        client.rset()
        client.dele(2)
        with pytest.raises(poplib.error_proto):
            client.retr(2)
        assert client.stat()[0] == 1
    gone = poplib.POP3_SSL("localhost", ekiden.ports["pop3s"], timeout=30, context=ekiden.trusted())
    gone.user(ekiden.address("bob"))
    gone.pass_(PASSWORD)
    gone.dele(1)
    gone.close()  # no QUIT: nothing is deleted (RFC 1939 §6)
    assert len(ekiden.inbox("bob")) == 1


@pytest.mark.peer("poplib")
def test_pop3_refuses_a_wrong_password(ekiden: Ekiden) -> None:
    client = poplib.POP3_SSL("localhost", ekiden.ports["pop3s"], timeout=30, context=ekiden.trusted())
    client.user(ekiden.address("bob"))
    with pytest.raises(poplib.error_proto):
        client.pass_("wrong")
    client.close()
