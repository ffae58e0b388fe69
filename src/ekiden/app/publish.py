"""The DNS records that a domain needs so that mail finds this server, and so that others believe mail from it.

Only what is true of this server today: no DKIM record without a key, no service record for a door that is shut.
Source: RFC 5321 §5.1, RFC 7208 §3, RFC 6376 §3.6.1, RFC 7489 §6.1, RFC 6186 §3, RFC 8314 §5.1, RFC 8460 §3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ekiden.app.config import Config
from ekiden.base.endpoint import Endpoint
from ekiden.base.texts import text
from ekiden.services.keys import record_name, record_text, zone_value
from ekiden.services.timeline import pad
from ekiden.store.dkim_keys import DkimKey

_SERVICES = (("submissions", "_submissions"), ("submission", "_submission"), ("imaps", "_imaps"), ("imap", "_imap"), ("pop3s", "_pop3s"))


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a zone file. name and value end in dots where they are names. why: a key of the catalogue.

    note: True for a hint that a person must complete, not a line to copy.
    """

    name: str
    type: str
    value: str
    why: str
    note: bool = False


def records_of(config: Config, domain: str, keys: Sequence[DkimKey] = ()) -> list[Record]:
    """All records to publish for a domain of this server, in A-labels. keys: those of the domain, also the former ones."""
    host = f"{config.hostname}."
    records = [Record(f"{domain}.", "MX", f"10 {host}", "publish.mx")]
    records += _addresses(config, host)
    records.append(Record(f"{domain}.", "TXT", f'"v=spf1 mx{_smarthost(config)} -all"', "publish.spf"))
    if config.hostname != domain:
        records.append(Record(host, "TXT", '"v=spf1 a -all"', "publish.spf-host"))
    records += [Record(f"{record_name(key)}.", "TXT", zone_value(record_text(key)), "publish.dkim") for key in keys]
    records.append(Record(f"_dmarc.{domain}.", "TXT", f'"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"', "publish.dmarc"))
    records.append(Record(f"_smtp._tls.{domain}.", "TXT", f'"v=TLSRPTv1; rua=mailto:postmaster@{domain}"', "publish.tlsrpt"))
    for door, service in _SERVICES:
        endpoints: Sequence[Endpoint] = getattr(config.listeners, door)
        if endpoints:
            priority = "0" if door.endswith("s") else "10"  # TLS from the first byte is to be preferred (RFC 8314 §5.1)
            value = f"{priority} 1 {endpoints[0].port} {host}"
            records.append(Record(f"{service}._tcp.{domain}.", "SRV", value, "publish.srv"))
    return records


def zone_text(records: Sequence[Record], lang: str) -> str:
    """The records as lines of a zone file, each group under a comment that says what it is for."""
    names = max(len(record.name) for record in records)
    out: list[str] = []
    said = ""
    for record in records:
        if record.why != said:
            said = record.why
            out += ["", f"; {text(said, lang)}"]
        lead = "; " if record.note else ""
        out.append(f"{lead}{pad(record.name, names)}  IN  {pad(record.type, 4)}  {record.value}")
    notes = ["publish.not-yet"] if any(record.why == "publish.dkim" for record in records) else ["publish.no-dkim", "publish.not-yet"]
    return "\n".join([*out[1:], "", *(f"; {text(note, lang)}" for note in notes)])


def _addresses(config: Config, host: str) -> list[Record]:
    """A and AAAA of the host, and PTR back, for the addresses that the configuration tells; else a hint."""
    found: list[Record] = []
    pointers: list[Record] = []
    known = [endpoint.host for endpoint in config.listeners.mx] + list(config.outbound.source_addresses)
    for each in dict.fromkeys(known):
        try:
            address = ip_address(each)
        except ValueError:
            continue
        if address.is_unspecified or address.is_loopback:
            continue
        found.append(Record(host, "A" if address.version == 4 else "AAAA", str(address), "publish.address"))
        pointers.append(Record(f"{address.reverse_pointer}.", "PTR", host, "publish.ptr"))
    if not found:
        found.append(Record(host, "A", "192.0.2.1", "publish.address-unknown", note=True))
        found.append(Record(host, "AAAA", "2001:db8::1", "publish.address-unknown", note=True))
        pointers.append(Record("1.2.0.192.in-addr.arpa.", "PTR", host, "publish.ptr", note=True))
    return found + pointers


def _smarthost(config: Config) -> str:
    """What SPF must say so that the smarthost may send for the domain."""
    server = config.outbound.smarthost.server
    if server is None:
        return ""
    try:
        address = ip_address(server.host)
    except ValueError:
        return f" a:{server.host}"
    return f" ip{address.version}:{address}"
