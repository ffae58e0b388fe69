"""What the tests of the relay share: an envelope on its way out, and attempts against scripted hosts on loopback."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from ekiden.base.clock import Millis
from ekiden.base.ids import DeliveryId, EnvelopeId
from ekiden.mail import journey
from ekiden.mail.address import Domain, parse_mailbox
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Body, Envelope, Peer, Recipient
from ekiden.net.tls import client_context
from ekiden.services.attempt import Attempted, Attempts, AttemptSettings
from ekiden.services.conversation import DEADLINES, Conversation, Manner
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.messages import Sendable
from ekiden.store.queue import Batch, Delivery
from ekiden.testing.certificates import make_certificate
from ekiden.testing.clock import START, FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

CONTENT = b"Subject: a letter\r\nMessage-ID: <1@one.test>\r\n\r\n.dot\r\n"
ALICE = MailPath("alice", Domain("one.test"))
SOON: Mapping[str, float] = dict.fromkeys(DEADLINES, 0.3)
"""Deadlines for hosts that say nothing."""


def a_batch(*recipients: str, sender: MailPath = ALICE, next_hop: str = "remote.test", attempts: int = 0) -> Batch:
    """Copies of one message for one next hop."""
    paths = [Recipient(parse_mailbox(each)) for each in recipients or ("bob@remote.test",)]
    peer = Peer(IPv4Address("192.0.2.1"), 99, "submission")
    envelope = Envelope(EnvelopeId(1), sender, tuple(paths), peer, START)
    deliveries = tuple(Delivery(DeliveryId(n), each, attempts, START, None) for n, each in enumerate(paths, 1))
    return Batch(envelope, next_hop, deliveries, "me", Millis(START + 3_600_000))


def sendable(content: bytes = CONTENT, prefix: bytes = b"Received: here\r\n") -> Sendable:
    """A small message."""
    return Sendable(prefix, content, None, len(content))


def zone(**hosts: Sequence[str]) -> FakeZone:
    """remote.test with an MX for each keyword (underscores are dots), in order; values are addresses."""
    names = [name.replace("_", ".") for name in hosts]
    records: dict[str, Sequence[str]] = {"remote.test": [f"MX {10 * n} {name}." for n, name in enumerate(names, 1)]}
    for name, ips in zip(names, hosts.values(), strict=True):
        records[name] = [f"{'AAAA' if ':' in ip else 'A'} {ip}" for ip in ips]
    return FakeZone(records)


class Relay:
    """Makes attempts: where, by which rules."""

    def __init__(self, zone: FakeZone, folder: Path, settings: AttemptSettings, *, authorities: Path | None = None) -> None:
        self.clock = FakeClock()
        self.resolver = ZoneResolver(zone)
        self.blobs = FileBlobs(folder / "blobs")

        def context(verify: bool) -> ssl.SSLContext:
            return client_context(verify=verify, authorities=authorities)

        settings = replace(settings, may_dial=lambda ip: True)
        self.attempts = Attempts(settings, self.resolver, self.clock, self.blobs, context, shuffle=lambda hosts: None)

    async def attempt(self, batch: Batch, what: Sendable | None = None, reuse: Conversation | None = None) -> Attempted:
        """One attempt; the conversation is closed unless another message is to go over it (see keep)."""
        attempted = await self.attempts.attempt(batch, what or sendable(), reuse)
        if attempted.conversation is not None:
            await attempted.conversation.close()
        return attempted


def settings(port: int, **manner: object) -> AttemptSettings:
    """Short deadlines, any address."""
    made = Manner("mx.one.test", deadlines=SOON)
    return AttemptSettings(replace(made, **manner), port=port, connect_s=1.0)  # type: ignore[arg-type]  # fields of Manner


def replies(attempted: Attempted) -> list[str]:
    """Code and enhanced code of each outcome."""
    return [" ".join(outcome.reply.text.split(" ")[:2]) for outcome in attempted.outcomes]


def told(attempted: Attempted, kind: type[journey.Step]) -> list[journey.Step]:
    """The steps of one kind."""
    return [step for step in attempted.steps if isinstance(step, kind)]


def server_tls(folder: Path, name: str = "mx.remote.test") -> ssl.SSLContext:
    """A context with a self-signed certificate; its file is folder/chain.pem."""
    make_certificate(folder / "chain.pem", folder / "key.pem", name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


def in_eight_bits(batch: Batch) -> Batch:
    """The same, declared as 8BITMIME."""
    return replace(batch, envelope=replace(batch.envelope, body=Body.EIGHT))
