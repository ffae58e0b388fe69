"""One try against hosts that answer in every way. Rows OU-01 to OU-25 of the table of attacks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from tests.services.relay import CONTENT, Relay, a_batch, in_eight_bits, replies, sendable, server_tls, settings, told, zone

from ekiden.base.endpoint import Endpoint
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH
from ekiden.services.attempt import Attempted
from ekiden.store.messages import Sendable
from ekiden.store.queue import Batch
from ekiden.testing.dns import FakeZone
from ekiden.testing.peers import ABORT, CLOSE, HANG, Action, Drip, Raw, ScriptedHost

SECOND = IPv4Address("127.0.0.2")


def attempt(host: ScriptedHost, folder: Path, batch: Batch | None = None, what: Sendable | None = None, **manner: object) -> Attempted:
    """One host at 127.0.0.1."""
    relay = Relay(zone(mx_remote_test=["127.0.0.1"]), folder, settings(host.port, **manner))
    return asyncio.run(relay.attempt(batch or a_batch(), what))


def test_a_message_is_handed_over(tmp_path: Path) -> None:
    with ScriptedHost() as host:
        attempted = attempt(host, tmp_path, a_batch("bob@remote.test", "carol@remote.test"))
    assert replies(attempted) == ["250 2.0.0", "250 2.0.0"]
    [letter] = host.messages
    assert (letter.sender, letter.recipients) == ("alice@one.test", ("bob@remote.test", "carol@remote.test"))
    assert letter.content == b"Received: here\r\n" + CONTENT
    assert host.heard == [
        "EHLO mx.one.test", "MAIL FROM:<alice@one.test>", "RCPT TO:<bob@remote.test>", "RCPT TO:<carol@remote.test>", "DATA", "QUIT",
    ]  # fmt: skip
    assert [type(step) for step in attempted.steps[:5]] == [
        journey.Leased, journey.DnsAnswered, journey.DnsAnswered, journey.DnsAnswered, journey.Dialled,
    ]  # fmt: skip
    commands = [step.command for step in told(attempted, journey.RemoteReplied) if isinstance(step, journey.RemoteReplied)]
    assert commands[:3] == ["", "EHLO mx.one.test", "MAIL FROM:<alice@one.test>"]
    assert commands[-1] == "QUIT"


def test_a_message_in_a_file(tmp_path: Path) -> None:
    content = b"Subject: x\r\n\r\n" + b".line\r\n" * 100_000
    relay_folder = tmp_path
    with ScriptedHost() as host:
        relay = Relay(zone(mx_remote_test=["127.0.0.1"]), relay_folder, settings(host.port))
        writer = relay.blobs.create()
        writer.write(content)
        blob = writer.commit()
        writer.close()
        attempted = asyncio.run(relay.attempt(a_batch(), Sendable(b"Received: x\r\n", None, blob.id, len(content))))
    assert replies(attempted) == ["250 2.0.0"]
    assert host.messages[0].content == b"Received: x\r\n" + content


def test_the_null_sender_and_size(tmp_path: Path) -> None:
    with ScriptedHost(keywords=("SIZE 1000",)) as host:
        attempt(host, tmp_path, a_batch(sender=NULL_PATH))
    assert host.heard[1] == f"MAIL FROM:<> SIZE={len(CONTENT) + 16}"


@pytest.mark.parametrize(
    ("phase", "action", "expected"),
    [
        ("banner", HANG, "451 4.4.2"),  # OU-01
        ("banner", Drip(b"220-" + b"x" * 100, 0.05), "451 4.4.2"),  # OU-02
        ("EHLO", Raw(b"250-x\r\n" * 5000), "451 4.4.2"),  # OU-03
        ("MAIL", Raw(b"250-x\r\n" * 5000), "451 4.4.2"),
        ("content", Raw(b"250-x\r\n" * 5000), "451 4.4.2"),
        ("MAIL", Raw(b"250 " + b"x" * 1_000_000), "451 4.4.2"),  # OU-04
        ("MAIL", Raw(b"250-a\r\n550 b\r\n"), "451 4.4.2"),  # OU-05
        ("MAIL", "2 OK", "451 4.4.2"),  # OU-06
        ("MAIL", "2500 x", "451 4.4.2"),
        ("MAIL", "", "451 4.4.2"),
        ("MAIL", Raw(b"\x00250 ok\r\n"), "451 4.4.2"),
        ("banner", "421 4.3.2 busy", "421 4.3.2"),  # OU-07
        ("EHLO", "421 4.3.2 busy", "421 4.3.2"),
        ("MAIL", "421 4.3.2 busy", "421 4.3.2"),
        ("RCPT", "421 4.3.2 busy", "421 4.3.2"),
        ("DATA", "421 4.3.2 busy", "421 4.3.2"),
        ("content", "421 4.3.2 busy", "421 4.3.2"),
        ("QUIT", "421 4.3.2 busy", "250 2.0.0"),
        ("banner", CLOSE, "451 4.4.2"),  # OU-08
        ("EHLO", ABORT, "451 4.4.2"),
        ("MAIL", CLOSE, "451 4.4.2"),
        ("RCPT", ABORT, "451 4.4.2"),
        ("DATA", CLOSE, "451 4.4.2"),
        ("content", CLOSE, "451 4.4.2"),
        ("QUIT", ABORT, "250 2.0.0"),
        ("DATA", "250 2.0.0 what", "451 4.4.2"),  # OU-09
        ("DATA", Raw(b"354 go\r\n550 5.7.1 no\r\n"), "550 5.7.1"),  # OU-10
        ("content", HANG, "451 4.4.2"),
        ("banner", "554 5.7.1 not you", "554 5.7.1"),
        ("MAIL", "550 5.7.1 not you", "550 5.7.1"),
        ("RCPT", "550 5.1.1 no such", "550 5.1.1"),
        ("content", "554 5.7.1 spam", "554 5.7.1"),
        ("content", "451 4.7.1 greylisted", "451 4.7.1"),
    ],
)
def test_what_a_host_may_do(tmp_path: Path, phase: str, action: Action, expected: str) -> None:
    with ScriptedHost(says={phase: action}) as host:
        attempted = attempt(host, tmp_path)
    assert replies(attempted) == [expected]
    assert all(step.reply.isprintable() for step in attempted.steps if isinstance(step, journey.RemoteReplied))
    assert attempted.outcomes[0].ambiguous == (phase == "content" and expected == "451 4.4.2")
    assert attempted.outcomes[0].is_remote == (expected != "451 4.4.2")


def test_a_host_without_ehlo(tmp_path: Path) -> None:
    with ScriptedHost(says={"EHLO": "502 5.5.1 what?"}) as host:
        assert replies(attempt(host, tmp_path)) == ["250 2.0.0"]
    assert host.heard[:2] == ["EHLO mx.one.test", "HELO mx.one.test"]


def test_some_recipients_are_taken_and_others_not(tmp_path: Path) -> None:
    with ScriptedHost(recipients={"b@remote.test": "550 5.1.1 no", "c@remote.test": "450 4.2.1 later"}) as host:
        attempted = attempt(host, tmp_path, a_batch("a@remote.test", "b@remote.test", "c@remote.test"))
    assert replies(attempted) == ["250 2.0.0", "550 5.1.1", "450 4.2.1"]


def test_too_many_recipients_go_in_another_transaction(tmp_path: Path) -> None:
    """Row OU-12; RFC 5321 §4.5.3.1.10."""
    people = [f"r{n}@remote.test" for n in range(7)]
    answers = ["250 ok"] * 3 + ["452 4.5.3 too many"] * 4 + ["250 ok"] * 3 + ["250 ok"]
    with ScriptedHost(says={"RCPT": answers}) as host:
        attempted = attempt(host, tmp_path, a_batch(*people))
    assert replies(attempted) == ["250 2.0.0"] * 7
    assert [len(letter.recipients) for letter in host.messages] == [3, 3, 1]
    assert sorted(each for letter in host.messages for each in letter.recipients) == sorted(people)
    assert host.connections == 1


def test_a_hundred_recipients_at_once(tmp_path: Path) -> None:
    with ScriptedHost() as host:
        attempted = attempt(host, tmp_path, a_batch(*[f"r{n}@remote.test" for n in range(230)]))
    assert replies(attempted) == ["250 2.0.0"] * 230
    assert [len(letter.recipients) for letter in host.messages] == [100, 100, 30]


@pytest.mark.parametrize(("keyword", "expected"), [("SIZE 0", "250"), ("SIZE abc", "250"), ("SIZE 10", "552 5.3.4")])
def test_a_message_beyond_the_announced_size_is_not_sent(tmp_path: Path, keyword: str, expected: str) -> None:
    """Row OU-13."""
    with ScriptedHost(keywords=(keyword,)) as host:
        [reply] = replies(attempt(host, tmp_path))
    assert reply.startswith(expected)
    assert any(line.startswith("MAIL") for line in host.heard) == (expected == "250")


@pytest.mark.parametrize(("keywords", "expected"), [(("8BITMIME",), "250 2.0.0"), ((), "554 5.6.3")])
def test_eight_bits_need_a_host_that_takes_them(tmp_path: Path, keywords: tuple[str, ...], expected: str) -> None:
    """Row OU-19."""
    with ScriptedHost(keywords=keywords) as host:
        assert replies(attempt(host, tmp_path, in_eight_bits(a_batch()), sendable("é\r\n".encode()))) == [expected]
    if keywords:
        assert host.heard[1].endswith("BODY=8BITMIME")


def test_content_that_cannot_be_sent_is_never_half_sent(tmp_path: Path) -> None:
    """Row OU-34."""
    with ScriptedHost() as host:
        assert replies(attempt(host, tmp_path, None, sendable(b"a\n.\r\nMAIL FROM:<x@y.test>\r\n"))) == ["554 5.6.0"]
    assert host.messages == []


# ---- where to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["421 4.3.2 busy", "554 5.7.1 no", CLOSE, HANG])
@pytest.mark.parametrize("phase", ["banner", "EHLO"])
def test_the_next_host_where_the_first_does_not_want_to_talk(tmp_path: Path, phase: str, action: Action) -> None:
    says = {phase: action, "HELO": "554 5.7.1 no"}
    with ScriptedHost(says=says, name="a.test") as first, ScriptedHost(ip=SECOND, port=first.port, name="b.test") as second:
        relay = Relay(zone(a_test=["127.0.0.1"], b_test=["127.0.0.2"]), tmp_path, settings(first.port))
        attempted = asyncio.run(relay.attempt(a_batch()))
    assert replies(attempted) == ["250 2.0.0"]
    assert attempted.outcomes[0].host == "b.test"
    assert len(second.messages) == 1


def test_the_next_address_where_nobody_listens(tmp_path: Path) -> None:
    with ScriptedHost(ip=SECOND) as host:
        relay = Relay(zone(a_test=["127.0.0.1", "127.0.0.2"]), tmp_path, settings(host.port))
        attempted = asyncio.run(relay.attempt(a_batch()))
    assert replies(attempted) == ["250 2.0.0"]
    dialled = [step for step in attempted.steps if isinstance(step, journey.Dialled)]
    assert [(step.ip, step.error) for step in dialled] == [("127.0.0.1", "Connection refused"), ("127.0.0.2", "")]


def test_no_other_host_once_the_message_was_refused(tmp_path: Path) -> None:
    with ScriptedHost(says={"RCPT": "450 4.2.1 later"}) as first, ScriptedHost(ip=SECOND, port=first.port) as second:
        relay = Relay(zone(a_test=["127.0.0.1"], b_test=["127.0.0.2"]), tmp_path, settings(first.port))
        assert replies(asyncio.run(relay.attempt(a_batch()))) == ["450 4.2.1"]
    assert second.connections == 0


@pytest.mark.parametrize("actions", [("554 5.7.1 no", "421 4.3.2 busy"), ("421 4.3.2 busy", "554 5.7.1 no")])
def test_as_long_as_one_host_leaves_hope_the_mail_waits(tmp_path: Path, actions: tuple[str, str]) -> None:
    with ScriptedHost(says={"banner": actions[0]}) as first, ScriptedHost(says={"banner": actions[1]}, ip=SECOND, port=first.port):
        relay = Relay(zone(a_test=["127.0.0.1"], b_test=["127.0.0.2"]), tmp_path, settings(first.port))
        attempted = asyncio.run(relay.attempt(a_batch()))
    assert (replies(attempted), attempted.reached) == (["421 4.3.2"], False)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["MX 0 ."], "550 5.1.10"),  # OU-22
        (["SERVFAIL"], "450 4.4.3"),
        ([], "550 5.1.2"),
    ],
)
def test_what_the_dns_decides(tmp_path: Path, records: list[str], expected: str) -> None:
    relay = Relay(FakeZone({"remote.test": records} if records else {}), tmp_path, settings(9))
    attempted = asyncio.run(relay.attempt(a_batch()))
    assert (replies(attempted), attempted.outcomes[0].is_remote) == ([expected], False)


def test_what_a_domain_may_add_to_a_journey_has_a_size(tmp_path: Path) -> None:
    hosts = [f"MX {n} {'x' * 60}.{n}.test." for n in range(3_000)]
    relay = Relay(FakeZone({"remote.test": hosts}), tmp_path, settings(9))
    steps = told(asyncio.run(relay.attempt(a_batch())), journey.DnsAnswered)
    assert 1 < len(steps) < 40
    assert all(len(step.answer) <= 500 for step in steps if isinstance(step, journey.DnsAnswered))


def test_an_address_literal_needs_no_dns(tmp_path: Path) -> None:
    with ScriptedHost() as host:
        relay = Relay(FakeZone({}), tmp_path, settings(host.port))
        assert replies(asyncio.run(relay.attempt(a_batch(next_hop="[127.0.0.1]")))) == ["250 2.0.0"]
    assert relay.resolver.asked == []


def test_tls_with_an_address_literal(tmp_path: Path) -> None:
    with ScriptedHost(tls=server_tls(tmp_path)) as host:
        relay = Relay(FakeZone({}), tmp_path, settings(host.port))
        assert replies(asyncio.run(relay.attempt(a_batch(next_hop="[127.0.0.1]")))) == ["250 2.0.0"]
    assert host.messages[0].secure


def test_an_address_outside_ascii(tmp_path: Path) -> None:
    with ScriptedHost() as host:
        assert replies(attempt(host, tmp_path, a_batch("jörg@remote.test"))) == ["553 5.6.7"]


def test_our_own_listener_is_never_dialled(tmp_path: Path) -> None:
    """Row OU-20: the same address with another port is."""
    with ScriptedHost() as ours, ScriptedHost() as other:

        def is_ours(ip: object, port: int) -> bool:
            return port == ours.port

        for port, expected in [(ours.port, "554 5.4.6"), (other.port, "250 2.0.0")]:
            relay = Relay(zone(a_test=["127.0.0.1"]), tmp_path, replace(settings(port), is_ours=is_ours))
            assert replies(asyncio.run(relay.attempt(a_batch()))) == [expected]
    assert ours.connections == 0


def test_a_host_with_our_name_is_ourselves(tmp_path: Path) -> None:
    """Row OU-20."""
    with ScriptedHost(name="mx.one.test") as host:
        assert replies(attempt(host, tmp_path, own_names={"mx.one.test"})) == ["554 5.4.6"]
    assert not any(line.startswith("MAIL") for line in host.heard)


def test_the_whole_attempt_has_an_end(tmp_path: Path) -> None:
    with ScriptedHost(says={"content": HANG}, recipients={"b@remote.test": "550 5.1.1 no"}) as host:
        slow = replace(settings(host.port), attempt_s=0.4)
        slow = replace(slow, manner=replace(slow.manner, deadlines={}))
        relay = Relay(zone(mx_remote_test=["127.0.0.1"]), tmp_path, slow)
        attempted = asyncio.run(relay.attempt(a_batch("a@remote.test", "b@remote.test")))
    assert replies(attempted) == ["451 4.4.2", "550 5.1.1"]
    assert [outcome.ambiguous for outcome in attempted.outcomes] == [True, False]


# ---- TLS, smarthost ---------------------------------------------------------------------------------


def test_tls_is_used_where_it_is_offered(tmp_path: Path) -> None:
    with ScriptedHost(tls=server_tls(tmp_path)) as host:
        attempted = attempt(host, tmp_path)
    assert host.messages[0].secure
    [secured] = told(attempted, journey.Secured)
    assert isinstance(secured, journey.Secured)
    assert (secured.outgoing, secured.verified) == (True, None)
    assert attempted.outcomes[0].tls is not None


@pytest.mark.parametrize(
    "says", [{"STARTTLS": "454 4.7.0 later"}, {"STARTTLS": "500 what"}, {"TLS": Drip(b"garb", 0.05)}, {"TLS": CLOSE}, {"TLS": HANG}]
)
def test_opportunistic_tls_that_fails_is_tried_once_in_clear(tmp_path: Path, says: dict[str, Action]) -> None:
    """Row OU-15."""
    with ScriptedHost(tls=server_tls(tmp_path), says=says) as host:
        attempted = attempt(host, tmp_path)
    assert replies(attempted) == ["250 2.0.0"]
    assert not host.messages[0].secure
    assert host.connections == (2 if "TLS" in says else 1)


def test_replies_injected_before_tls_are_not_believed(tmp_path: Path) -> None:
    """Row OU-14."""
    injected = Raw(b"220 ready\r\n250-EVIL\r\n250 AUTH PLAIN\r\n")
    with ScriptedHost(tls=server_tls(tmp_path), says={"STARTTLS": injected}) as host:
        assert replies(attempt(host, tmp_path)) == ["451 4.4.2"]
    assert host.messages == []


@pytest.mark.parametrize("implicit", [False, True])
def test_a_smarthost_with_a_password(tmp_path: Path, implicit: bool) -> None:
    with ScriptedHost(tls=server_tls(tmp_path, "relay.test"), keywords=("AUTH PLAIN",), implicit_tls=implicit) as host:
        chosen = settings(25, tls="implicit" if implicit else "starttls", login=("user", "pass"))
        chosen = replace(chosen, smarthost=Endpoint("relay.test", host.port))
        relay = Relay(FakeZone({"relay.test": ["A 127.0.0.1"]}), tmp_path, chosen, authorities=tmp_path / "chain.pem")
        assert replies(asyncio.run(relay.attempt(a_batch()))) == ["250 2.0.0"]
    assert "AUTH PLAIN AHVzZXIAcGFzcw==" in host.heard
    assert host.messages[0].secure


@pytest.mark.parametrize("tls", ["starttls", "opportunistic"])
def test_a_password_is_not_sent_to_a_host_that_is_not_verified(tmp_path: Path, tls: str) -> None:
    """Row OU-17: a certificate of somebody else's."""
    with ScriptedHost(tls=server_tls(tmp_path, "other.test"), keywords=("AUTH PLAIN",)) as host:
        chosen = replace(settings(25, tls=tls, login=("user", "pass")), smarthost=Endpoint("relay.test", host.port))
        relay = Relay(FakeZone({"relay.test": ["A 127.0.0.1"]}), tmp_path, chosen, authorities=tmp_path / "chain.pem")
        [reply] = replies(asyncio.run(relay.attempt(a_batch())))
    assert reply.startswith("454 4.7.")
    assert not any(line.startswith(("AUTH", "MAIL")) for line in host.heard)


def test_a_wrong_password_delays_and_does_not_return_the_mail(tmp_path: Path) -> None:
    with ScriptedHost(tls=server_tls(tmp_path, "relay.test"), keywords=("AUTH PLAIN",), says={"AUTH": "535 5.7.8 no"}) as host:
        chosen = replace(settings(25, tls="starttls", login=("user", "pass")), smarthost=Endpoint("127.0.0.1", host.port))
        relay = Relay(FakeZone({}), tmp_path, chosen, authorities=tmp_path / "chain.pem")
        assert replies(asyncio.run(relay.attempt(a_batch()))) == ["454 4.7.0"]
    secrets = [step for step in told(asyncio.run(relay.attempt(a_batch())), journey.RemoteReplied) if "cGFz" in str(step)]
    assert secrets == []


def test_required_tls_that_is_not_offered(tmp_path: Path) -> None:
    with ScriptedHost() as host:
        assert replies(attempt(host, tmp_path, tls="starttls")) == ["454 4.7.4"]


# ---- one connection for several messages ------------------------------------------------------------


@pytest.mark.parametrize(("after", "connections"), [(None, 1), (CLOSE, 2), (Raw(b"421 4.4.2 idle\r\n"), 2)])
def test_another_message_over_the_same_connection(tmp_path: Path, after: Action | None, connections: int) -> None:
    """Row OU-26: a host that hung up meanwhile is called again, and nothing is lost."""
    says: dict[str, Action | list[Action]] = {"after": [after, Raw(b"")]} if after is not None else {}

    async def both(relay: Relay) -> list[str]:
        first = await relay.attempts.attempt(a_batch(), sendable())
        assert first.conversation is not None
        await asyncio.sleep(0.05 if after is not None else 0)
        second = await relay.attempt(a_batch("carol@remote.test"), None, first.conversation)
        return replies(first) + replies(second)

    with ScriptedHost(says=says) as host:
        relay = Relay(zone(mx_remote_test=["127.0.0.1"]), tmp_path, settings(host.port))
        assert asyncio.run(both(relay)) == ["250 2.0.0", "250 2.0.0"]
    assert (len(host.messages), host.connections) == (2, connections)


@pytest.mark.parametrize("action", [CLOSE, "421 4.3.2 no more"])  # row OU-26
def test_a_host_that_takes_one_message_a_connection(tmp_path: Path, action: Action) -> None:
    async def both(relay: Relay) -> list[str]:
        first = await relay.attempts.attempt(a_batch(), sendable())
        second = await relay.attempt(a_batch("carol@remote.test"), None, first.conversation)
        return replies(first) + replies(second)

    with ScriptedHost(says={"MAIL": ["250 ok", action, "250 ok"]}) as host:
        relay = Relay(zone(mx_remote_test=["127.0.0.1"]), tmp_path, settings(host.port))
        assert asyncio.run(both(relay)) == ["250 2.0.0", "250 2.0.0"]
    assert host.connections == 2
