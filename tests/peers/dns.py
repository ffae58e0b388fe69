"""Name servers that answer from zones given by a test: knot (authoritative), dnsmasq, and unbound (a validating resolver)."""

from __future__ import annotations

import os
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import dns.message
import dns.query
import dns.rdatatype
from tests.peers import catalogue
from tests.peers.network import entered, inside
from tests.peers.process import Daemon


class Record(NamedTuple):
    """One resource record, value as in a zone file; names without the dot at the end are completed with it."""

    name: str
    type: str
    value: str


class Knot:
    """Knot DNS: authoritative for every zone (the last two labels of a name) that the records mention; UDP and TCP.

    signed: zones that it signs with keys of its own, each with how often it hashes the names of NSEC3; 0 is NSEC.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        records: Iterable[Record],
        host: str = "127.0.0.1",
        network: str | None = None,
        signed: Mapping[str, int] | None = None,
    ) -> None:
        tree = catalogue.tree("knot")
        self.version = tree.versions["knot"]
        self.port = port
        for folder in ("zones", "run", "db"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        zones: defaultdict[str, list[Record]] = defaultdict(list)
        for record in records:
            zones[_zone(record.name)].append(record)
        conf = [
            f'server:\n    rundir: "{directory}/run"\n    listen: {host}@{port}',
            "    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1",
            "log:\n  - target: stderr\n    any: info",
            f'database:\n    storage: "{directory}/db"',
            f'template:\n  - id: default\n    storage: "{directory}/zones"\n    file: "%s.zone"\n    semantic-checks: off',
        ]
        if signed:
            conf.append("policy:")
        for zone, rounds in (signed or {}).items():
            conf.append(f"  - id: {zone}\n    single-type-signing: on")
            conf.append(f"    nsec3: {'on' if rounds else 'off'}\n    nsec3-iterations: {rounds}")
        conf.append("zone:")
        for zone, held in zones.items():
            conf.append(f"  - domain: {zone}.")
            if zone in (signed or {}):
                conf.append(f"    dnssec-signing: on\n    dnssec-policy: {zone}\n    zonefile-sync: -1")
            lines = [
                f"{zone}. 60 IN SOA ns.{zone}. admin.{zone}. 1 60 60 3600 60",
                f"{zone}. 60 IN NS ns.{zone}.",
                f"ns.{zone}. 60 IN A 127.0.0.1",
            ]
            lines += [f"{record.name.rstrip('.')}. 60 IN {record.type} {record.value}" for record in held]
            (directory / "zones" / f"{zone}.zone").write_text("\n".join(lines) + "\n")
        (directory / "knot.conf").write_text("\n".join(conf) + "\n")
        self._daemon = Daemon(
            "knot",
            [*entered(network), tree.program("knotd"), "-c", directory / "knot.conf"],
            log=directory / "knot.log",
            env=tree.environment(),
        )
        probe = next(iter(zones))
        self._daemon.wait_for(lambda: _answers(network, host, port, probe), f"it answers for {probe}")

    def anchor(self, zone: str) -> str:
        """The key of a signed zone, as a line that validating resolvers take as their ground."""
        query = dns.message.make_query(f"{zone}.", "DNSKEY", want_dnssec=True)
        found: list[str] = []

        def signed() -> bool:
            answer = dns.query.tcp(query, "127.0.0.1", port=self.port, timeout=5).answer
            found[:] = [f"{zone}. IN DNSKEY {key}" for rrset in answer if rrset.rdtype == dns.rdatatype.DNSKEY for key in rrset]
            return any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in answer)

        self._daemon.wait_for(signed, f"it has signed {zone}")
        return found[0]

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()


class Dnsmasq:
    """dnsmasq as a small server of given names, asking nobody else."""

    def __init__(
        self, directory: Path, *, port: int, records: Iterable[Record], host: str = "127.0.0.1", network: str | None = None
    ) -> None:
        tree = catalogue.tree("dnsmasq")
        self.version = tree.versions["dnsmasq-base"]
        self.port = port
        directory.mkdir(parents=True, exist_ok=True)
        held = list(records)
        lines = [
            "no-resolv",
            "no-hosts",
            "no-daemon",
            "bind-interfaces",
            f"listen-address={host}",
            f"port={port}",
            "log-queries",
            "local-ttl=60",
            f"pid-file={directory}/pid",
            "user=root" if os.geteuid() == 0 else "",
            *(f"local=/{zone}/" for zone in sorted({_zone(r.name) for r in held})),
        ]
        for name, kind, value in held:
            name = name.rstrip(".")
            match kind:
                case "A" if name.startswith("*."):
                    lines.append(f"address=/{name.removeprefix('*.')}/{value}")
                case "A" | "AAAA":
                    lines.append(f"host-record={name},{value}")
                case "MX":
                    preference, target = value.split()
                    lines.append(f"mx-host={name},{target.rstrip('.')},{preference}")
                case "TXT":
                    lines.append(f"txt-record={name},{value}")
                case "CNAME":
                    lines.append(f"cname={name},{value.rstrip('.')}")
                case _:
                    raise ValueError(f"dnsmasq is not taught to serve {kind} here")
        (directory / "dnsmasq.conf").write_text("\n".join(line for line in lines if line) + "\n")
        self._daemon = Daemon(
            "dnsmasq",
            [*entered(network), tree.program("dnsmasq"), "-C", directory / "dnsmasq.conf"],
            log=directory / "dnsmasq.log",
            env=tree.environment(),
        )
        self._daemon.wait_for(lambda: _answers(network, host, port, held[0].name.rstrip(".")), "it answers")

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()


class Rbldnsd:
    """rbldnsd, with which most block lists are served. lists: zone → (kind of data, its lines), as its manual has them."""

    def __init__(self, directory: Path, *, port: int, lists: Mapping[str, tuple[str, Iterable[str]]]) -> None:
        tree = catalogue.tree("rbldnsd")
        self.version = tree.versions["rbldnsd"]
        directory.mkdir(parents=True, exist_ok=True)
        zones = []
        for number, (zone, (kind, lines)) in enumerate(lists.items()):
            (directory / f"{number}.list").write_text("\n".join(lines) + "\n")
            zones.append(f"{zone}:{kind}:{number}.list")
        directory.chmod(0o755)
        owner = f"{os.geteuid() or 65_534}:{os.getegid() or 65_534}"  # it does not want to be root, and is in its directory before
        self._daemon = Daemon(
            "rbldnsd",
            [tree.program("rbldnsd"), "-n", "-w", directory, "-b", f"127.0.0.1/{port}", "-u", owner, *zones],
            log=directory / "rbldnsd.log",
            env=tree.environment(),
        )
        probe = f"2.0.0.127.{next(iter(lists))}"
        self._daemon.wait_for(lambda: _answers(None, "127.0.0.1", port, probe), "it answers")

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()


class Unbound:
    """Unbound: a resolver that validates, with zones of its own and zones for which it asks others.

    stubs: which server (a port on 127.0.0.1) it asks for a zone. anchors: keys that it trusts, as lines. Everything else
    does not exist for it: it asks nobody outside.
    """

    def __init__(
        self, directory: Path, *, port: int, records: Iterable[Record] = (), stubs: Mapping[str, int], anchors: Iterable[str] = ()
    ) -> None:
        tree = catalogue.tree("unbound")
        self.version = tree.versions["unbound"]
        self.port = port
        directory.mkdir(parents=True, exist_ok=True)
        held = list(records)
        lines = [
            "server:",
            f'directory: "{directory}"',
            'chroot: ""',
            'username: ""',
            f'pidfile: "{directory}/pid"',
            "use-syslog: no",
            "do-daemonize: no",
            "verbosity: 1",
            "num-threads: 1",
            "do-ip6: no",
            f"interface: 127.0.0.1@{port}",
            "do-not-query-localhost: no",
            'module-config: "validator iterator"',
            'local-zone: "." static',
            *(f'local-zone: "{zone}." static' for zone in sorted({_zone(record.name) for record in held})),
            *(f"local-data: '{record.name.rstrip('.')}. 60 IN {record.type} {record.value}'" for record in held),
            *(f'local-zone: "{zone}." transparent' for zone in stubs),
            *(f'trust-anchor: "{line}"' for line in anchors),
            "remote-control:",
            "control-enable: no",
            *(f'stub-zone:\n  name: "{zone}."\n  stub-addr: 127.0.0.1@{asked}' for zone, asked in stubs.items()),
        ]
        (directory / "unbound.conf").write_text("\n".join(lines) + "\n")
        self._daemon = Daemon(
            "unbound",
            [tree.program("unbound"), "-d", "-c", directory / "unbound.conf"],
            log=directory / "unbound.log",
            env=tree.environment(),
        )
        self._daemon.wait_for(lambda: _answers(None, "127.0.0.1", port, "version.bind"), "it answers")

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()


def _zone(name: str) -> str:
    return ".".join(name.rstrip(".").split(".")[-2:])


def _answers(network: str | None, host: str, port: int, name: str) -> bool:
    """Does a query for the name's A records get any answer?"""
    question = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split(".")) + b"\0" + struct.pack(">HH", 1, 1)
    with inside(network), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(0.2)
        try:
            asked.connect((host, port))
            asked.send(struct.pack(">HHHHHH", 4711, 0x100, 1, 0, 0, 0) + question)
            return asked.recv(1500)[:2] == struct.pack(">H", 4711)
        except OSError:
            return False
