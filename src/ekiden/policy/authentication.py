"""Who really sent a message, as policies may ask it.

    if ctx.authentication.applies and (await ctx.authentication.dkim()): …

Each check is made once, whoever asks first. Who has signed in, and what we write ourselves, is not asked who it is: for them
every answer is empty (NOT_ASKED).
Source: RFC 7208, RFC 6376, RFC 9989, RFC 8617, RFC 8601.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ekiden.mailauth.arc import ArcOutcome
from ekiden.mailauth.author import Author
from ekiden.mailauth.dkim import DkimOutcome
from ekiden.mailauth.dmarc import DmarcOutcome
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.mailauth.results import Evidence
from ekiden.mailauth.spf import SpfOutcome


@dataclass(frozen=True, slots=True)
class Ways:
    """How checks are made here. by: our host name. trusted_sealers: domains, in A-labels, whose ARC seals outweigh a failed DMARC.

    suffixes: the list that tells organisations apart; None for the tree of the DNS. received_spf: that field is wanted too.
    helo: SPF of the name in HELO is stated beside that of MAIL FROM.
    """

    by: str
    authserv_id: str
    trusted_sealers: frozenset[str] = frozenset()
    suffixes: SuffixList | None = None
    received_spf: bool = False
    helo: bool = False


class Authentication(Protocol):
    """The checks of one message."""

    @property
    def ways(self) -> Ways:
        """How checks are made here."""
        ...

    @property
    def applies(self) -> bool:
        """Whether there is anything to check."""
        ...

    @property
    def author(self) -> Author:
        """Whom From names."""
        ...

    async def spf(self) -> SpfOutcome | None:
        """SPF of MAIL FROM; of postmaster@HELO where that is the null path."""
        ...

    async def helo(self) -> SpfOutcome | None:
        """SPF of the name in HELO."""
        ...

    async def dkim(self) -> tuple[DkimOutcome, ...]:
        """Each signature that was looked at, from the top."""
        ...

    async def arc(self) -> ArcOutcome | None:
        """The chain of those who forwarded it."""
        ...

    async def dmarc(self) -> DmarcOutcome | None:
        """What the domain of From wants; None where From names no domain."""
        ...

    async def iprev(self) -> Evidence | None:
        """Whether the peer's address has a name that leads back to it."""
        ...

    async def evidence(self) -> tuple[Evidence, ...]:
        """All of it, as Authentication-Results has it."""
        ...

    def made(self) -> tuple[Evidence, ...]:
        """What has been found so far, without asking more."""
        ...


class _NotAsked:
    """For who has proved otherwise who it is."""

    ways = Ways("", "")
    applies = False
    author = Author("")

    async def spf(self) -> SpfOutcome | None:
        return None

    async def helo(self) -> SpfOutcome | None:
        return None

    async def dkim(self) -> tuple[DkimOutcome, ...]:
        return ()

    async def arc(self) -> ArcOutcome | None:
        return None

    async def dmarc(self) -> DmarcOutcome | None:
        return None

    async def iprev(self) -> Evidence | None:
        return None

    async def evidence(self) -> tuple[Evidence, ...]:
        return ()

    def made(self) -> tuple[Evidence, ...]:
        return ()


NOT_ASKED: Authentication = _NotAsked()
"""Every answer is empty, and nobody is asked."""
