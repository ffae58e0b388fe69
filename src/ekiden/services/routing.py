"""From a recipient's address to where its copies go: our mailboxes, other servers, or a refusal.

The one function that decides about relaying is route(): relay is default-deny (reliability.md §5.4). What the directory says of
an address is remembered for two seconds, so that a busy door does not ask the store for each RCPT.
Source: RFC 5321 §3.6, §4.5.1, RFC 5233 §1 (sub-addresses), rows RL-01 … RL-21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ekiden.base.clock import Clock
from ekiden.base.errors import BadValue, Damaged
from ekiden.base.ids import AccountId, MailboxId
from ekiden.mail.address import Domain, Ip, Path, format_path, parse_mailbox
from ekiden.mail.srs import is_srs
from ekiden.services.forwarding import Forwarding
from ekiden.services.keys import KeysUnusable
from ekiden.smtp import replies
from ekiden.smtp.replies import Reply
from ekiden.store import accounts
from ekiden.store.database import Database, Tx

_FRESH_S = 2.0
_REMEMBERED = 20_000
_DEPTH = 10  # aliases of aliases; beyond this it is a loop (row RL-20)
_EXPANSION = 1000


@dataclass(frozen=True, slots=True)
class Local:
    """A copy for one of our accounts. inbox: its INBOX. folder: "" for INBOX. delivered_to: the address it came to."""

    account: AccountId
    name: str
    inbox: MailboxId
    delivered_to: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Remote:
    """A copy for another server. next_hop: a domain (A-labels) or an address literal in brackets.

    ours: the domain is one of ours, and the copy goes the whole way to our own MX door (Router.whole_way). back: a bounce on its way to
    the sender of what we have sent on.
    """

    path: Path
    next_hop: str
    ours: bool = False
    back: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """No way to this recipient. because: for the log."""

    reply: Reply
    because: str


Route = Local | Remote


class Router:
    """Knows the local domains and asks the directory.

    domains: local ones beside those in the store; they need no row there. whole_way: what may be relayed goes through
    queue and DNS even to our own domains, as it would between two servers (the development mode shows that way). forwarding: knows the
    addresses that we have written in place of senders.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        hostname: str,
        domains: Sequence[str],
        *,
        whole_way: bool = False,
        forwarding: Forwarding | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._hostname = hostname
        self._domains = frozenset(domains)
        self._whole_way = whole_way
        self._forwarding = forwarding
        self._known: dict[str, tuple[float, tuple[Route, ...] | Refused]] = {}

    async def route(self, path: Path, *, relay: bool, bounce: bool = False) -> tuple[Route, ...] | Refused:
        """Where mail for path goes; at least one Route. relay: this peer may write to anybody. bounce: it comes from the null sender.

        Raises StoreError if the directory cannot be asked.
        """
        sender = await self.behind(path)
        if sender is path:
            return await self._route(path, relay)
        if isinstance(sender, Refused):
            return sender
        if not bounce:  # whoever writes a letter to such an address would use us as a relay
            return Refused(replies.RELAY_DENIED, f"{format_path(path)} takes bounces only")
        routes = await self._route(sender, True)
        if isinstance(routes, Refused):
            return routes
        return tuple(replace(route, back=True) if isinstance(route, Remote) else route for route in routes)

    async def behind(self, path: Path) -> Path | Refused:
        """The sender for whom path stands where we have written it in place of a sender; path itself where it is any other address.

        Raises StoreError.
        """
        if self._forwarding is None or not isinstance(path.host, Domain) or not is_srs(path.local):
            return path
        if not await self._forwarding.is_ours(path.host.ascii):
            return path
        try:
            return await self._forwarding.behind(path)
        except BadValue as error:
            return Refused(replies.RELAY_DENIED, str(error))
        except (KeysUnusable, Damaged) as error:
            return Refused(replies.LOCAL_ERROR, str(error))

    async def _route(self, path: Path, relay: bool) -> tuple[Route, ...] | Refused:
        host = path.host
        if host is None:
            domain = min(self._domains, default=self._hostname)
        elif isinstance(host, Domain):
            domain = host.ascii
        else:
            return _outside(path, host, relay)
        key = f"{path.local}@{domain}"
        now = self._clock.monotonic()
        known = self._known.get(key)
        if known is None or known[0] < now:
            found = await self._database.read(lambda tx: self._look_up(tx, path.local, domain))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = (now + _FRESH_S, found)
            self._known[key] = known
        answer = known[1]
        if answer is _NOT_OURS:
            return _outside(path, Domain(domain), relay)
        if self._whole_way and relay and host is not None and not isinstance(answer, Refused):
            return (Remote(path, domain, ours=True),)
        return answer

    def forget(self) -> None:
        """Ask the directory anew: accounts or aliases have changed."""
        self._known.clear()

    def is_local(self, tx: Tx, domain: str) -> bool:
        """Whether mail for this domain is ours to keep."""
        return domain in self._domains or accounts.domain_exists(tx, domain)

    def _look_up(self, tx: Tx, local: str, domain: str) -> tuple[Route, ...] | Refused:
        if not self.is_local(tx, domain):
            return _NOT_OURS
        routes: list[Route] = []
        refusal = self._expand(tx, local, domain, f"{local}@{domain}", routes, 0)
        if refusal is not None:
            return refusal
        return tuple(routes)

    def _expand(self, tx: Tx, local: str, domain: str, delivered_to: str, routes: list[Route], depth: int) -> Refused | None:
        """Add the routes of one address; a refusal if it, or the first of what it stands for, has none."""
        if depth > _DEPTH or len(routes) > _EXPANSION:
            return Refused(replies.LOOP_FOUND, f"aliases of {local}@{domain} go in a circle")
        found = self._find(tx, local, domain)
        if found is None:
            return Refused(replies.NO_SUCH_MAILBOX, f"{local}@{domain} is unknown")
        if isinstance(found, accounts.Target):
            if found.disabled:
                return Refused(replies.MAILBOX_DISABLED, f"{local}@{domain} is disabled")
            if found.over_quota:
                return Refused(replies.MAILBOX_FULL, f"{local}@{domain} is over its quota")
            routes.append(Local(found.account, found.name, found.inbox, delivered_to))
            return None
        refusal: Refused | None = None
        for target in found.targets:
            refusal = self._follow(tx, target, delivered_to, routes, depth) or refusal
        return None if routes else refusal or Refused(replies.NO_SUCH_MAILBOX, f"{local}@{domain} stands for nobody")

    def _follow(self, tx: Tx, target: str, delivered_to: str, routes: list[Route], depth: int) -> Refused | None:
        """One target of an alias: ours again, or somebody elsewhere."""
        try:
            path = parse_mailbox(target)
        except BadValue:
            return Refused(replies.NO_SUCH_MAILBOX, f"alias target {target!r} is no address")
        if not isinstance(path.host, Domain) or self.is_local(tx, path.host.ascii):
            domain = path.host.ascii if isinstance(path.host, Domain) else self._hostname
            return self._expand(tx, path.local, domain, delivered_to, routes, depth + 1)
        routes.append(Remote(path, path.host.ascii))
        return None

    def _find(self, tx: Tx, local: str, domain: str) -> accounts.Target | accounts.Alias | None:
        """The address itself, without its +tag, postmaster, the domain's catch-all: in this order."""
        found = accounts.find_address(tx, local, domain)
        if found is None and "+" in local.lstrip("+"):
            found = accounts.find_address(tx, local[: local.index("+", 1)], domain)
        if found is None and local.isascii() and local.lower() == "postmaster":
            found = accounts.find_postmaster(tx)
        if found is None:
            found = accounts.find_catch_all(tx, domain)
        return found


_NOT_OURS = Refused(replies.RELAY_DENIED, "not a domain of ours")


def _outside(path: Path, host: Domain | Ip, relay: bool) -> tuple[Route, ...] | Refused:
    if not relay:
        return Refused(replies.RELAY_DENIED, f"{format_path(path)} is not ours and the peer may not relay")
    if isinstance(host, Domain):
        return (Remote(path, host.ascii),)
    return (Remote(path, f"[IPv6:{host}]" if host.version == 6 else f"[{host}]"),)
