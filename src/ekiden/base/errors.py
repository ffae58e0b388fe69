"""The errors that callers can act on.

Outcomes that mail expects (a refused recipient, an SPF fail) are values, not exceptions.
"""

from __future__ import annotations


class EkidenError(Exception):
    """The parent of every error that Ekiden raises on purpose."""


class BadValue(EkidenError, ValueError):
    """A peer or a person wrote something that its grammar does not allow.

    what: the name of the thing that was expected ("xtext", "domain").
    raw: what was there instead; only for logs, never sent back to a peer as it is.
    """

    def __init__(self, what: str, raw: bytes | str = b"", because: str = "") -> None:
        self.what = what
        self.raw = raw
        self.because = because
        shown = f": {raw if len(raw) <= 80 else raw[:80]!r}" if raw or not because else ""
        super().__init__(f"not a valid {what}{shown}" + (f" ({because})" if because else ""))


class ProtocolError(EkidenError):
    """A peer did something in the wrong order, or something that cannot be continued from."""


class Unreachable(EkidenError):
    """A name, a host or a service did not answer; trying later may help."""


class StoreError(EkidenError):
    """Our own store failed: nothing of what was asked has been kept. A peer hears 4xx."""


class StorageFull(StoreError):
    """There is no room for it: a full disk, a quota of the file system, a limit on the size of files. A peer hears 452."""


class Damaged(StoreError):
    """What is there is not what was stored. Trying again does not help; people have to be told (reliability.md §1.3, C10)."""


class ConfigError(EkidenError):
    """The configuration cannot be used; each problem names file, line and key.

    problems: one printable line for each thing that is wrong, at least one.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))
