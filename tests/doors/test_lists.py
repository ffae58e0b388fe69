"""Lists in the DNS as they are served in the world: by rbldnsd, asked by our own resolver."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from tests.peers.dns import Rbldnsd
from tests.peers.process import free_port

from ekiden.app.clock import SystemClock
from ekiden.base.endpoint import Endpoint
from ekiden.dns.dnsbl import ListHealth, State, Subject, look_up, parse_list
from ekiden.net.resolver import DnsResolver, ResolverSettings

pytestmark = pytest.mark.peer("rbldnsd")

LISTS = {
    "bad.test": (
        "ip4set",
        [":127.0.0.2:see https://bad.test/?q=$", "127.0.0.2", "192.0.2.0/28", "!192.0.2.5", "192.0.2.90 :127.0.0.9:a proxy"],
    ),
    "six.test": ("ip6trie", [":127.0.0.2:six", "2001:db8:bad::/48"]),
    "names.test": ("dnset", [":127.0.1.2:sends it", "evil.example", ".wild.example"]),
    "everything.test": ("ip4set", [":127.0.0.2:all of you", "127.0.0.0/8", "192.0.0.0/8"]),
    "closed.test": ("ip4set", [":127.255.255.254:ask through a resolver of your own", "127.0.0.0/8", "192.0.0.0/8"]),
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    server = Rbldnsd(tmp_path_factory.mktemp("lists"), port=port, lists=LISTS)
    yield port
    server.stop()


@pytest.mark.parametrize(("zone", "about", "state", "reason"), [
    ("bad.test", "192.0.2.1", State.LISTED, "see https://bad.test/?q=192.0.2.1"),
    ("bad.test", "::ffff:192.0.2.1", State.LISTED, "see https://bad.test/?q=192.0.2.1"),
    ("bad.test", "192.0.2.5", State.CLEAR, ""),
    ("bad.test", "192.0.2.90", State.CLEAR, ""),                  # 127.0.0.9, which nobody has said that it counts
    ("bad.test=127.0.0.2,127.0.0.8-11", "192.0.2.90", State.LISTED, "a proxy"),
    ("bad.test", "198.51.100.1", State.CLEAR, ""),
    ("bad.test", "127.0.0.2", State.LISTED, "see https://bad.test/?q=127.0.0.2"),  # RFC 5782 §5
    ("six.test", "2001:db8:bad::25", State.LISTED, "six"),
    ("six.test", "2001:db8:900d::25", State.CLEAR, ""),
    ("names.test=127.0.1.*", "evil.example", State.LISTED, "sends it"),
    ("names.test=127.0.1.*", "www.wild.example", State.LISTED, "sends it"),
    ("names.test=127.0.1.*", "good.example", State.CLEAR, ""),
    ("everything.test", "192.0.2.1", State.OFF, ""),             # DN-13
    ("closed.test", "192.0.2.1", State.OFF, ""),                 # DN-13
])
def test_what_a_list_says_is_understood(port: int, zone: str, about: str, state: State, reason: str) -> None:
    async def work() -> None:
        clock = SystemClock()
        resolver = DnsResolver(ResolverSettings((Endpoint("127.0.0.1", port),)), clock)
        domains = "example" in about
        asked = parse_list(zone, Subject.DOMAIN if domains else Subject.ADDRESS)
        subject = about if domains else ip_address(about)
        found = await resolver.for_message().resolve(look_up(asked, subject, ListHealth(clock), reason=True))
        assert (found.state, found.reason) == (state, reason), found
        await resolver.close()

    asyncio.run(work())
