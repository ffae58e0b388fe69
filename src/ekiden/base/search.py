"""Whether a few octets stand anywhere in a long text, at the speed of memory.

In CPython, `b"  " in text` takes longer than SHA-256 of the same text. strstr() of the C library looks at 16 octets and more at a time:
1 MiB in 26 µs instead of 970. It ends at a NUL, which bytes have behind their end (C API, PyBytes_AsString), so that a text with
one inside takes the slow way.
Source: docs/adr/0016-a-search-by-the-c-library.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_LONG = 16 << 10
"""Below that, the call and giving away the interpreter for it cost more than they gain."""


def _strstr() -> Callable[[bytes, bytes], int | None] | None:
    """The function of the C library; None where there is no such library."""
    try:
        found = ctypes.CDLL(None).strstr
    except (OSError, AttributeError, TypeError):
        return None
    found.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    found.restype = ctypes.c_void_p
    return found


_FOUND = _strstr()


def holds(text: bytes, needle: bytes) -> bool:
    """As `needle in text`. needle: two octets or a few more, none of them NUL."""
    if _FOUND is None or len(text) < _LONG or b"\0" in text:
        return text.rfind(needle) >= 0  # looks at every third octet where find() looks at every second
    return _FOUND(text, needle) is not None
