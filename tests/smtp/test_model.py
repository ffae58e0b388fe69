"""Any stream of commands: the machine answers as a model of a page does, and keeps what the model keeps. Row SS-36."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.smtp.desk import CUTS, Cut, Desk

from ekiden.smtp.server import ServerSettings, SmtpServer

COMMANDS = {
    "hello": [b"EHLO c.test", b"helo [192.0.2.1]"],
    "bad hello": [b"EHLO", b"HELO a b", b"EHLO a\n"],
    "mail": [b"MAIL FROM:<a@b.test>", b"mail from:<> SIZE=10"],
    "bad mail": [b"MAIL FROM:a@b.test", b"MAIL FROM:<a@b.test> X=1", b"MAIL FROM:<a@b.test> SIZE=9999999999"],
    "rcpt": [b"RCPT TO:<alice@local.test>", b"RCPT TO:<postmaster>"],
    "refused rcpt": [b"RCPT TO:<unknown@local.test>", b"RCPT TO:<carol@local.test>"],
    "bad rcpt": [b"RCPT TO:<>", b"RCPT TO:<a b@c.test>"],
    "data": [b"DATA"],
    "bad": [b"DATA x", b"RSET x", b"FROB", b"NOOP\n", b"VRFY", b"\xff", b"MAILFROM:<a@b.test>", b"BDAT 3", b"QUIT x"],
    "reset": [b"RSET"],
    "idle": [b"NOOP", b"noop x", b"VRFY alice", b"HELP"],
    "no tls": [b"STARTTLS", b"AUTH PLAIN"],
}
BODIES = {"good": b"Subject: x\r\n\r\n..\r\n.\r\n", "empty": b".\r\n", "bare": b"a\n.\r\n\r\n.\r\n"}
STREAM = st.lists(st.tuples(st.sampled_from(sorted(COMMANDS)), st.integers(0, 8), st.sampled_from(sorted(BODIES))), max_size=25)


class Model:
    """SMTP as RFC 5321 §4.1.4 orders it, without bytes."""

    def __init__(self) -> None:
        self.greeted = self.sender = self.tried = False
        self.recipients = 0
        self.kept = 0

    def clear(self) -> None:
        self.sender = self.tried = False
        self.recipients = 0

    def expect(self, kind: str, body: str) -> list[str]:
        """First digits of the replies."""
        match kind:
            case "hello":
                self.greeted = True
                self.clear()
                return ["2"]
            case "mail" if self.greeted and not self.sender:
                self.sender = True
                return ["2"]
            case "rcpt" if self.sender:
                self.tried = True
                self.recipients += 1
                return ["2"]
            case "refused rcpt" if self.sender:
                self.tried = True
                return ["5", "4"]
            case "reset":
                self.clear()
                return ["2"]
            case "idle":
                return ["2"]
            case "data" if self.recipients:
                self.clear()
                self.kept += body != "bare"
                return ["3", "5" if body == "bare" else "2"]
            case _:
                return ["5"]


@pytest.mark.parametrize("cut", CUTS)
@given(STREAM)
@settings(max_examples=100)
def test_the_machine_answers_as_the_model(cut: Cut, stream: list[tuple[str, int, str]]) -> None:
    machine = SmtpServer(ServerSettings("mx.test", errors_soft=1000, errors_hard=1000, idle_commands=1000))
    machine.greet()
    machine.take_output()
    desk, model = Desk(machine), Model()
    for kind, which, body in stream:
        line = COMMANDS[kind][which % len(COMMANDS[kind])]
        takes_content = kind == "data" and model.recipients > 0
        expected = model.expect(kind, body)
        said = desk.tell(line + b"\r\n", cut=cut)
        if takes_content:
            assert said.startswith(b"354 ")
            said = desk.tell(BODIES[body], cut=cut)
            expected = expected[1:]
        finals = [reply for reply in said.split(b"\r\n")[:-1] if reply[3:4] == b" "]
        assert len(finals) == 1
        assert finals[0][:1].decode() in expected
    assert len(desk.messages) == model.kept


@given(st.lists(st.sampled_from([line for lines in COMMANDS.values() for line in lines]), max_size=12))
def test_pipelining_changes_nothing(lines: list[bytes]) -> None:
    lines = [line for line in lines if line != b"DATA"]
    said = []
    for writes in ([line + b"\r\n" for line in lines], [b"".join(line + b"\r\n" for line in lines)]):
        machine = SmtpServer(ServerSettings("mx.test", errors_hard=1000))
        machine.greet()
        said.append(Desk(machine).tell(*writes))
    assert said[0] == said[1] or not lines
