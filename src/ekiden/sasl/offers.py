"""All mechanisms that there are: each file in sasl/mechanisms/ declares its own.

Source: RFC 4422 §3.1, §3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ekiden.base.features import discover
from ekiden.sasl.mechanism import Mechanism, Offer


@cache
def offers() -> tuple[Offer, ...]:
    """Every mechanism, in the order of the files that declare them. Raises ConfigError if two claim one name."""
    return discover("ekiden.sasl.mechanisms", Offer, key=lambda offer: offer.name)


def names(*, tls: bool) -> tuple[str, ...]:
    """What may be offered to a client now; nothing that shows a password without TLS (RFC 4616 §1)."""
    return tuple(offer.name for offer in offers() if tls or not offer.needs_tls)


def begin(name: str, *, tls: bool = True) -> Mechanism | None:
    """A fresh exchange, or None if there is no such mechanism here or it needs TLS. name: any case."""
    wanted = name.upper() if name.isascii() else name
    return next((offer.begin() for offer in offers() if offer.name == wanted and (tls or not offer.needs_tls)), None)


Begin = Callable[[str], Mechanism | None]
"""What a session is handed: begin(), with the door's own rules."""
