"""What does it cost to ask who sent a message? The same durable accepting with and without SPF, DKIM and DMARC.

    python -m bench.judged [--rounds 3] [--messages 4000] [--quick]

Every message is signed (RSA-2048), its domain has SPF and DMARC records, and all passes. A name server of our own answers after 5 ms;
Ekiden remembers what it said, so that each record is asked for once. Without: `policies = []`. The load is smtp-source with the same
4 KiB over 20 connections that stay open. In turn; a round ends when all mail is in the mailbox.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import Round, measure, wait_quiet
from bench.servers import BENCH, EkidenServer
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ekiden.base.clock import Millis
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import sign
from ekiden.mailauth.dkim_key import SigningKey
from ekiden.testing.dns import FakeZone, ServedZone

AIM = 0.45
_DOMAIN = "client.test"
_DELAY_S = 0.005


class _Slow(ServedZone):
    """Answers after 5 ms."""

    def datagrams(self, packet: bytes) -> list[bytes]:
        import time

        time.sleep(_DELAY_S)
        return super().datagrams(packet)


@contextmanager
def name_server(zone: FakeZone) -> Iterator[int]:
    """The port of a server that answers from zone, in a thread."""
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    begun, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with _Slow(zone) as server:
            ready.append(server.port)
            begun.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    begun.wait(10)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def letter(folder: Path) -> tuple[Path, FakeZone]:
    """A signed message of 4 KiB in a file with LF line ends, and the zone that vouches for it."""
    key = SigningKey(_DOMAIN, "sel", generate_private_key(65537, 2048))
    public = base64.b64encode(key.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    zone = FakeZone(
        {
            _DOMAIN: ["TXT v=spf1 ip4:127.0.0.1 include:also.test -all"],
            "also.test": ["TXT v=spf1 ip4:192.0.2.0/24 -all"],
            f"_dmarc.{_DOMAIN}": ['TXT "v=DMARC1; p=reject"'],
            f"sel._domainkey.{_DOMAIN}": [f'TXT "v=DKIM1; k=rsa; p={public[:200]}" "{public[200:]}"'],
            "1.0.0.127.in-addr.arpa": ["PTR out.client.test."],
            "out.client.test": ["A 127.0.0.1"],
        },
        ttl_s=3600,
    )
    head = (
        b"From: load@client.test\r\nTo: inbox@bench.test\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@client.test>\r\n"
        b"Subject: test\r\n\r\n"
    )
    raw = head + (b"X" * 78 + b"\r\n") * ((4096 - len(head)) // 80)
    raw = sign(raw, parse_headers(raw), [key], Millis(1_790_000_000_000)) + raw
    file = folder / "letter.eml"
    file.write_bytes(raw.replace(b"\r\n", b"\n"))
    return file, zone


def main() -> None:
    """Measure, print, perhaps keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--quick", action="store_true", help="one small round: does the program work?")
    given = parser.parse_args()
    messages, rounds = (200, 1) if given.quick else (given.messages, given.rounds)
    folder = BENCH / "out"
    folder.mkdir(exist_ok=True)
    file, zone = letter(folder)
    with name_server(zone) as port:
        asked = {"EKIDEN_POLICIES": "builtin:authentication,builtin:dmarc", "EKIDEN_DNS__SERVERS": f"127.0.0.1:{port}"}
        summed = {**asked, "EKIDEN_POLICIES": asked["EKIDEN_POLICIES"] + ",builtin:score"}
        servers = {
            "nothing asked": EkidenServer("unjudged"),
            "SPF, DKIM, DMARC": EkidenServer("judged", settings=asked),
            "and the score": EkidenServer("scored", settings=summed),
        }
        try:
            found: dict[str, list[Round]] = {label: [] for label in servers}
            for server in servers.values():
                measure(server, messages=100, file=file)
            for _ in range(rounds):
                for label, server in servers.items():
                    if not given.quick:
                        wait_quiet()
                    found[label].append(measure(server, messages=messages, file=file))
            trace = servers["SPF, DKIM, DMARC"].command("message", "trace", "<1@client.test>", "--json")
            if '"dmarc"' not in trace or '"fail"' in trace:
                raise RuntimeError("the messages were not judged as they should be")
        finally:
            for server in servers.values():
                server.stop()
    rates = {label: statistics.median(each.rate for each in several) for label, several in found.items()}
    print("| what is asked | msgs/s | lowest … highest | of nothing | server µs/msg |\n|---|---|---|---|---|")
    for label, several in found.items():
        lowest, highest = min(each.rate for each in several), max(each.rate for each in several)
        cpu = statistics.median(each.server_cpu_s / each.messages * 1e6 for each in several)
        share = rates[label] / rates["nothing asked"]
        print(f"| {label} | {rates[label]:,.0f} | {lowest:,.0f} … {highest:,.0f} | {share:.0%} | {cpu:.0f} |")
    print(f"the aim is {AIM:.0%}")


if __name__ == "__main__":
    main()
