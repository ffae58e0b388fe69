"""The settings of [dmarc]: reports about mail in the name of others, and theirs about ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ekiden.base.errors import BadValue
from ekiden.base.settings import Setting
from ekiden.base.units import Seconds
from ekiden.mail.address import Domain, format_path, parse_mailbox


def _address(text: str) -> str:
    path = parse_mailbox(text)
    if not isinstance(path.host, Domain):
        raise BadValue("address", text, "no domain")
    return format_path(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcSettings:
    """Daily reports about mail in the name of others, sent to those who ask for them, and reports of others about ours (RFC 9990)."""

    reports: Annotated[
        bool, Setting("Send reports to the domains whose DMARC record asks for them. Mail is counted for them only then.")
    ] = False
    organisation: Annotated[str | None, Setting("Who we are, as reports say it. Not set: hostname.")] = None
    contact: Annotated[
        str | None,
        Setting(
            "The address that reports come from; its domain should pass DMARC. Not set: postmaster at hostname.",
            parse=_address,
            expects="address",
        ),
    ] = None
    inbox: Annotated[
        str | None,
        Setting(
            "The address of ours to which others send their reports: what arrives there is also read for `ekiden dmarc report`.",
            parse=_address,
            expects="address",
        ),
    ] = None
    keep: Annotated[Seconds, Setting("How long reports of others are kept.", low=86_400, high=315_360_000)] = 34_560_000
