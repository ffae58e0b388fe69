"""How paths are written into columns and compared.

Local parts are compared without regard to ASCII case: RFC 5321 §2.4 leaves their case to the receiving host.
"""

from __future__ import annotations

from ekiden.mail.address import Path, format_path, parse_mailbox


def path_text(path: Path) -> str:
    """A path as it was written; "" is the null path."""
    return format_path(path)


def path_key(local: str, domain: str) -> str:
    """What is compared: ASCII letters in lower case, other characters as they are."""
    return f"{lower(local)}@{domain.lower()}"


def key_of(address: str) -> str:
    """The key of an address as text. Raises BadValue if it is none."""
    path = parse_mailbox(address)
    return lower(format_path(path))


def lower(text: str) -> str:
    """ASCII letters in lower case, and nothing else (row RL-12: a Kelvin sign is no k)."""
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
