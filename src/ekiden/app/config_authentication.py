"""The settings of [authentication]: how it is judged who really sent a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ekiden.base.settings import Setting
from ekiden.mail.address import parse_domain


def _domain(name: str) -> str:
    return parse_domain(name).ascii


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationSettings:
    """How it is judged who really sent a message (SPF, DKIM, DMARC, ARC)."""

    authserv_id: Annotated[
        str | None,
        Setting("Our name in Authentication-Results (RFC 8601 §2.5). Not set: hostname.", parse=_domain, expects="domain"),
    ] = None
    received_spf: Annotated[bool, Setting("Also write Received-SPF (RFC 7208 §9.1) on top of each message from outside.")] = False
    helo: Annotated[
        bool, Setting("Also check whether the server may call itself what it says in HELO (RFC 7208 §2.3), and state it beside MAIL FROM.")
    ] = False
    trusted_sealers: Annotated[
        tuple[str, ...],
        Setting(
            "Forwarders whose ARC seals we believe: what they saw pass outweighs a failed DMARC (RFC 8617 §7.2).",
            parse=_domain,
            expects="domain",
        ),
    ] = ()
    organisation: Annotated[
        str,
        Setting(
            "How the organisation of a domain is found: by the DNS (RFC 9989 §4.10) or by the Public Suffix List.", choices=("dns", "list")
        ),
    ] = "dns"
    public_suffix_list: Annotated[
        str | None,
        Setting("The file of the Public Suffix List. Not set: where the system or the package publicsuffixlist keeps it.", expects="path"),
    ] = None
