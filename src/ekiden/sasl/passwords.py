"""Stored forms of passwords: argon2id, as a PHC string.

hash() and verify() take about 28 ms of one core and 19 MiB: never on the event loop, see services.login. Nothing here is
kept but the parameters and one hash that nobody's password has, so that an unknown name takes as long as a known one.
Source: RFC 9106 §4 (argon2id), RFC 8265 §4.2 (OpaqueString); parameters: reliability.md §5.3.
"""

from __future__ import annotations

import unicodedata

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from ekiden.base.errors import BadValue

MOST_BYTES = 1_024
"""Longer passwords are refused before they are hashed; they are never cut."""

_MOST_MEMORY_KIB = 262_144  # a stored form that asks for more is not ours; checking it would be an attack


class Passwords:
    """Makes and compares stored forms; safe to share between threads.

    memory_kib, passes, lanes: the cost of new forms. Old forms carry their own, and needs_rehash() tells them.
    """

    def __init__(self, *, memory_kib: int = 19 * 1024, passes: int = 2, lanes: int = 1) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=lanes, hash_len=32, salt_len=16, type=argon2.Type.ID
        )
        self._nobody: str | None = None

    def hash(self, password: bytes) -> str:
        """The stored form of a new password, with a salt of its own. Raises BadValue, see prepare_password()."""
        return self._hasher.hash(prepare_password(password))

    def verify(self, stored: str | None, password: bytes) -> bool:
        """Whether the password belongs to the stored form.

        stored=None (no such account) takes as long as a wrong password and is False. A password that could not have been
        stored, or a stored form that is not argon2id, is False too.
        """
        try:
            prepared = prepare_password(password)
        except BadValue:
            return False
        known = stored is not None and _is_ours(stored)
        try:
            right = self._hasher.verify(stored if stored is not None and known else self._nobodys(), prepared)
        except (VerificationError, InvalidHashError):
            return False
        return right and known

    def needs_rehash(self, stored: str) -> bool:
        """Whether a stored form was made with other parameters than new ones are; hash again at the next login."""
        return not _is_ours(stored) or self._hasher.check_needs_rehash(stored)

    def _nobodys(self) -> str:
        if self._nobody is None:
            self._nobody = self._hasher.hash(b"nobody's")
        return self._nobody


def prepare_password(password: bytes) -> bytes:
    """One form for each password, whatever keyboard it came from: any space is a space, composed characters (NFC).

    Raises BadValue for nothing, for more than 1,024 bytes, for what is not UTF-8, and for control characters (NUL too).
    """
    if not password or len(password) > MOST_BYTES:
        raise BadValue("password", because="1 to 1,024 bytes")
    if password.isascii():
        if min(password) < 0x20 or 0x7F in password:
            raise BadValue("password", because="control characters")
        return password
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadValue("password", because="not UTF-8") from error
    text = unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in text))
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn") for character in text):
        raise BadValue("password", because="control or unassigned characters")
    return text.encode("utf-8")


def _is_ours(stored: str) -> bool:
    try:
        parameters = argon2.extract_parameters(stored)
    except InvalidHashError:
        return False
    return parameters.type is argon2.Type.ID and parameters.memory_cost <= _MOST_MEMORY_KIB and parameters.time_cost <= 16
