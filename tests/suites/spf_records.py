"""Records and zones made by chance, from what real records are made of and from what breaks parsers; the seed decides everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from random import Random

from ekiden.dns.questions import Broken, lower_name
from ekiden.dns.records import A, Aaaa, Mx, Ptr, Record, Txt

CLIENTS = ("192.0.2.1", "192.0.2.77", "198.51.100.9", "2001:db8::1", "2001:db8:1::77", "::ffff:192.0.2.1")
NAMES = tuple(f"n{number}.example.test" for number in range(8))
OWN_NAMES = tuple(f"h{number}.n{number}.example.test" for number in range(3))
HOSTS = tuple(f"h{number}.example.test" for number in range(6))
LOCALS = ("alice", "a-b+c", "strong-bad", "x.y.z", "%{d}", "o'neil", "a=b_c,d")
HELOS = ("mx.example.test", "h1.example.test", "localhost", "[192.0.2.1]", "%%%", "a-b.example.test")

_QUALIFIERS = ("", "", "", "+", "-", "~", "?")
_TARGETS = (
    "%{d}", "%{d2}", "h0.%{d2}", "%{o}", "%{h}", "%{ir}.%{v}.example.test", "%{l}.example.test", "%{l1r-}.example.test",
    "%{lr+-}.h.example.test", "%{S}.example.test", "%{i}._ip.example.test", "h%%.example.test", "%{d1r}.test", "%{d9}",
    "missing.example.test", "h1.example.test.", "%{p}.example.test", "%{p2}", "%{P}.x.example.test", "%{s}", "%{i2r}.example.test",
    "%{d2r}.example.test",
)  # fmt: skip
_LENGTHS = ("", "", "", "", "/24", "/0", "/32", "//64", "/24//64", "//0", "//128", "/8//32")
_NETWORKS = (
    "ip4:192.0.2.1", "ip4:192.0.2.0/24", "ip4:192.0.2.77/26", "ip4:10.0.0.0/8", "ip4:0.0.0.0/0", "ip4:198.51.100.0/28", "ip6:2001:db8::/32",
    "ip6:2001:db8::1", "ip6:2001:DB8:1::/48", "ip6:::/0", "ip6:::ffff:192.0.2.1", "ip6:::ffff:0:0/96",
)  # fmt: skip
_BROKEN = (
    "moo", "all:x", "all/8", "a:", "a/33", "a//129", "a/24/24", "a:museum", "a:1.2.3.4", "ip4:1.2.3", "ip4:1.2.3.4/33", "ip4",
    "ip6:::1/129", "ip6:zz::", "include", "include:", "exists", "exists:", "ptr:", "ptr/24", "mx:", "exp=", "redirect=", "=x", "1up=x",
    "x=%{c}", "x=%q", "a:%{z}.b", "a:%d.test", "a,", "-", "++all", "a:x..", "redirect:n1.example.test", "ip4:192.0.2.1/024",
    "include:n1.example.test/24", "v=spf1", "ip4:192.0.2.1//24", "exists:h1.example.test/8", "ip4:192.0.2.01", "ip4:256.1.1.1",
    "a:h1.-test", "mx:x.123", "all=all", "x=", "x.y-z_1=/:", "a:h1.example.test:25", "ip6:2001:db8::1%25", "a%2f24", "a:%{d", "a:%{d}}",
    "exp=-all", "include:h1.example.test,",
)  # fmt: skip
_ALPHABET = "aAmMxpPtr4i6dlsohvc10239./:=-+~? _,x"  # no "%": what pyspf takes there is not the grammar, which the tests of records hold


@dataclass(frozen=True, slots=True)
class Setting:
    """One check with its whole world."""

    zone: dict[str, Sequence[Record]]
    ip: str
    helo: str
    sender: str


def setting(random: Random) -> Setting:
    """A zone of eight policies, and somebody who sends."""
    zone: dict[str, Sequence[Record]] = {}
    for number, name in enumerate(NAMES):
        if random.random() < 0.05:
            continue
        zone[name] = _policy_of_a_name(random, number)
    for host in HOSTS + OWN_NAMES:
        addresses: list[Record] = [A(IPv4Address(random.choice(("192.0.2.1", "192.0.2.80", "203.0.113.5")))),
                                   Aaaa(IPv6Address(random.choice(("2001:db8::1", "2001:db8:1::9", "2001:db8:ffff::1"))))]
        zone[host] = [Mx(5, "h1.example.test"), *addresses]
    for client in ("192.0.2.1", "198.51.100.9", "2001:db8::1"):
        ip = IPv6Address(client) if ":" in client else IPv4Address(client)
        zone[lower_name(ip.reverse_pointer)] = [Ptr(name) for name in random.sample(OWN_NAMES, random.randint(1, 3))]
    for client in ("192.0.2.77", "2001:db8:1::77"):
        ip = IPv6Address(client) if ":" in client else IPv4Address(client)
        zone[lower_name(ip.reverse_pointer)] = [Ptr(OWN_NAMES[0])]
    zone["why.example.test"] = [Txt((random.choice((b"%{i} is not of %{o}", b"%{x}", b"%% see %{S} %{d2r}", b"\xff")),))]
    if random.random() < 0.1:
        zone[HOSTS[5]] = [Broken("SERVFAIL")]
    sender = f"{random.choice(LOCALS)}@{random.choice(NAMES)}" if random.random() < 0.95 else ""
    return Setting(zone, random.choice(CLIENTS), random.choice(HELOS), sender)


def _policy_of_a_name(random: Random, number: int) -> list[Record]:
    others: list[Record] = [Txt((b"verification=1",))]
    if random.random() < 0.4:
        others += [Mx(random.randint(0, 9), random.choice(HOSTS[:5])) for _ in range(random.randint(1, 3))]
    if random.random() < 0.4:
        others.append(A(IPv4Address(random.choice(("192.0.2.1", "203.0.113.5")))))
    if random.random() < 0.03:
        return [*others, Broken("SERVFAIL")]
    if random.random() < 0.03:
        return others
    text = policy(random, number)
    if random.random() < 0.02:
        others.append(Txt((b"v=spf1 +all",)))
    cut = random.randint(0, min(len(text), 250))
    return [*others, Txt((text[:cut], text[cut : cut + 250]) if len(text) > cut + 1 else (text,))]


def policy(random: Random, number: int) -> bytes:
    """One record; includes and redirects lead to names with a higher number, so that loops are rare but limits are met."""
    terms = [_term(random, number) for _ in range(random.choice((0, 1, 2, 2, 3, 3, 4, 6, 9)))]
    if random.random() < 0.08:
        terms.insert(random.randint(0, len(terms)), random.choice(_BROKEN))
    if random.random() < 0.03:
        terms.insert(random.randint(0, len(terms)), "".join(random.choice(_ALPHABET) for _ in range(random.randint(1, 12))))
    if random.random() < 0.6:
        terms.append(random.choice(("-all", "~all", "?all", "all", "-ALL")))
    elif random.random() < 0.4:
        terms.append(f"redirect={_other(random, number)}")
    if random.random() < 0.2:
        terms.append("exp=why.example.test")
    if random.random() < 0.1:
        terms.append("moo.cow-far_out=man:dog/cat")
    text = random.choice(("v=spf1 ", "v=spf1 ", "V=SpF1  ")) + random.choice((" ", "  ")).join(terms)
    return text.encode("ascii")


def _term(random: Random, number: int) -> str:
    kind = random.choice(("ip", "ip", "a", "a", "mx", "include", "include", "exists", "ptr"))
    sign = random.choice(_QUALIFIERS)
    if kind == "ip":
        return sign + random.choice(_NETWORKS)
    if kind == "include":
        return f"{sign}include:{_other(random, number)}"
    if kind == "exists":
        return f"{sign}exists:{_target(random)}"
    name = random.choice((kind, kind.upper()))
    target = f":{_target(random)}" if random.random() < 0.6 else ""
    return sign + name + target + ("" if kind == "ptr" else random.choice(_LENGTHS))


def _other(random: Random, number: int) -> str:
    if random.random() < 0.04:
        return random.choice(_TARGETS)
    return NAMES[random.randrange(number + 1, len(NAMES) + 1) % len(NAMES)]


def _target(random: Random) -> str:
    return random.choice(HOSTS) if random.random() < 0.6 else random.choice(_TARGETS)
