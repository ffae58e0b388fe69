"""Where mail goes that a policy sends elsewhere (policy.verdict.Redirect).

The operator's policy decides, so it may name anybody: our own mailboxes and aliases at once, without being judged again, and other
servers as a forwarded message, whose loops end as those of any (services.forwarding). If nobody of those can be reached, the policy is
broken, and broken judgement delays mail: it is put off, never lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from ekiden.mail.address import format_path
from ekiden.policy.stage import Log
from ekiden.policy.verdict import Redirect
from ekiden.services.routing import Refused, Route, Router
from ekiden.smtp import replies

MOST = 100
"""Addresses of all redirects of a message."""


async def redirected(router: Router, redirects: Sequence[Redirect], log: Log, *, bounce: bool) -> tuple[Route, ...] | Refused:
    """The routes of all addresses that can be reached, each once; refused for now where there are none. Raises StoreError."""
    paths = list(dict.fromkeys(path for each in redirects for path in each.to))
    routes: dict[Route, None] = {}
    because = f"{len(paths)} addresses, of which {MOST} are too many" if len(paths) > MOST else "no address is given"
    for path in paths if len(paths) <= MOST else ():
        found = await router.route(path, relay=False, bounce=bounce)
        if isinstance(found, Refused) and found.reply == replies.RELAY_DENIED:
            found = await router.route(path, relay=True, bounce=bounce)
        if isinstance(found, Refused):
            because = f"{format_path(path)}: {found.because}"
            log("redirect-impossible", level="warning", to=format_path(path), because=found.because)
        else:
            routes.update(dict.fromkeys(found))
    return tuple(routes) or Refused(replies.REDIRECT_FAILED, because)
