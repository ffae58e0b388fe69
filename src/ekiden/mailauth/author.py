"""The one author whom a message names, or exactly what is wrong with its From.

The address is what mail.fields reads, which is also what IMAP shows; there is no second reading. A From that one reader
might take for another address than we do is a finding, so that whoever lets mail in can refuse it (550 5.6.0).
Pure; never raises.
Source: RFC 5322 §3.6.2, RFC 9989 §5.3.1, RFC 6854 §4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii
from ekiden.dns.questions import is_askable
from ekiden.mail.fields import Address, Group, parse_address_list
from ekiden.mail.headers import Headers


class AuthorProblem(Enum):
    """What keeps a From from naming one author."""

    NO_FIELD = "no-from"
    SEVERAL_FIELDS = "several-from"
    NO_ADDRESS = "no-address"  # empty, or something that is no address
    SEVERAL_DOMAINS = "several-domains"
    SEVERAL_ADDRESSES = "several-addresses"  # of one domain: RFC 5322 §3.6.2 allows it, with a Sender
    GROUP = "group"
    ROUTE = "route"  # <@one.test:a@two.test>: programs differ in which of the two they show
    ENCODED = "encoded-address"  # an encoded word as local part: some programs decode it and show what comes out
    CONTROL = "control-character"  # NUL and the like: some programs stop reading there
    LITERAL = "address-literal"  # a@[192.0.2.1]: an author without a domain
    BAD_DOMAIN = "bad-domain"


_CACHED_BYTES = 500
_TOLERABLE = frozenset([AuthorProblem.SEVERAL_ADDRESSES, AuthorProblem.LITERAL])


@dataclass(frozen=True, slots=True)
class Author:
    """Who a message says it is from.

    domain: the author domain for DMARC, in A-labels and lower case; "" where there is none that counts.
    addresses: all that the From field shows, in order, those of groups too. problem: None if all is well.
    is_disguised: a display name looks like an address of another domain.
    """

    domain: str
    addresses: tuple[Address, ...] = ()
    problem: AuthorProblem | None = None
    is_disguised: bool = False

    @property
    def address(self) -> Address | None:
        """The one address, or None."""
        return self.addresses[0] if len(self.addresses) == 1 else None

    @property
    def must_be_refused(self) -> bool:
        """Whether nobody can say for certain whom readers would see as the author (550 5.6.0)."""
        return self.problem is not None and self.problem not in _TOLERABLE


# A tab and the line ends of a fold are fine; headers hold no other line end.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
# Others hold an encoded word ("a@=?utf-8?q?bank.test?="), which some programs decode and show, or what some take for the end of a name.
_ASKED_FOR = re.compile(r"[a-z0-9._-]+")
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=")


def author_of(headers: Headers) -> Author:
    """The author of the message with these headers."""
    fields = headers.all(b"from")
    if not fields:
        return Author("", problem=AuthorProblem.NO_FIELD)
    read = _author_cached(fields[0]) if len(fields[0]) <= _CACHED_BYTES else author_in(fields[0])
    return read if len(fields) == 1 else Author("", read.addresses, AuthorProblem.SEVERAL_FIELDS, read.is_disguised)


def author_in(raw: bytes) -> Author:
    """The author in the value of a From field, folded or not."""
    entries = parse_address_list(raw)
    addresses = tuple(each for entry in entries for each in (entry.members if isinstance(entry, Group) else (entry,)))
    disguised = any(address.is_disguised for address in addresses)
    domain, problem = _domain_in(addresses)
    if any(isinstance(entry, Group) for entry in entries):
        problem = AuthorProblem.GROUP
    if _CONTROL.search(raw):
        problem = AuthorProblem.CONTROL
    kept = domain if problem is None or problem in _TOLERABLE else ""
    return Author(kept, addresses, problem, disguised)


_author_cached = lru_cache(maxsize=1024)(author_in)


def _domain_in(addresses: tuple[Address, ...]) -> tuple[str, AuthorProblem | None]:
    if not addresses:
        return "", AuthorProblem.NO_ADDRESS
    read = [_domain_of(address) for address in addresses]
    domains = {domain for domain, _ in read}
    if len(domains) > 1:
        return "", AuthorProblem.SEVERAL_DOMAINS
    problem = next((problem for _, problem in read if problem is not None), None)
    if problem is None and len(addresses) > 1:
        problem = AuthorProblem.SEVERAL_ADDRESSES
    return domains.pop(), problem


def _domain_of(address: Address) -> tuple[str, AuthorProblem | None]:
    if not address.domain:
        return "", AuthorProblem.NO_ADDRESS
    if address.domain.startswith("["):
        return "", AuthorProblem.LITERAL
    problem = None
    if address.route:
        problem = AuthorProblem.ROUTE
    elif _ENCODED_WORD.search(address.local):
        problem = AuthorProblem.ENCODED
    try:
        return to_ascii(address.domain), problem
    except BadValue:
        name = address.domain.lower()
        # Names with "_" are no host names, but there is mail from them, and the DNS can be asked about them.
        if _ASKED_FOR.fullmatch(name) and is_askable(name) and "xn--" not in name:
            return name, problem
        return "", AuthorProblem.BAD_DOMAIN
