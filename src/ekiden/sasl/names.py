"""One form for each name, however it was typed: width, case and composition of characters do not make another account.

Source: RFC 8265 §3.3 (UsernameCaseMapped), RFC 8264 §4.2 and §5.2.
"""

from __future__ import annotations

import unicodedata

from ekiden.base.errors import BadValue

_MOST_BYTES = 1_024
_LETTERS_AND_DIGITS = frozenset({"Ll", "Lu", "Lo", "Lm", "Mn", "Mc", "Nd"})


def prepare_name(name: str) -> str:
    """The form in which names are compared and counted: "ALICE@Local.test." and "ａｌｉｃｅ@local.test" are one.

    A dot at the end of the domain is taken off. Raises BadValue for what no name can contain (blanks, controls, look-alikes).
    """
    if not name or len(name) > _MOST_BYTES:
        raise BadValue("name", name)
    if name.isascii():
        mapped = name.lower()
    else:
        mapped = unicodedata.normalize("NFC", "".join(map(_of_normal_width, name)).lower())
    if "@" in mapped:
        mapped = mapped.removesuffix(".")
    for character in mapped:
        if not _may_stand_in_a_name(character):
            raise BadValue("name", name)
    return mapped


def _of_normal_width(character: str) -> str:
    """Full-width and half-width forms as the ordinary character (RFC 8265 §3.3.2, rule 1)."""
    tag, _, code = unicodedata.decomposition(character).partition(" ")
    return chr(int(code, 16)) if tag in ("<wide>", "<narrow>") else character


def _may_stand_in_a_name(character: str) -> bool:
    """The IdentifierClass of RFC 8264 §4.2, without its context rules: these characters are refused."""
    if "\x21" <= character <= "\x7e":
        return True
    if unicodedata.category(character) not in _LETTERS_AND_DIGITS:
        return False
    return unicodedata.normalize("NFKC", character) == character
