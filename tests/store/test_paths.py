"""How addresses are compared."""

from __future__ import annotations

import pytest

from ekiden.base.errors import BadValue
from ekiden.mail.address import NULL_PATH, Domain, Path
from ekiden.store.paths import key_of, lower, path_key, path_text


def test_ascii_case_does_not_matter_and_nothing_else_is_folded() -> None:
    assert path_key("Alice", "Example.TEST") == "alice@example.test"
    assert lower("\u212aÉ") == "\u212aÉ"
    assert key_of("Alice@Example.test") == "alice@example.test"


def test_paths_as_columns() -> None:
    assert path_text(NULL_PATH) == ""
    assert path_text(Path("a b", Domain("x.test"))) == '"a b"@x.test'


def test_what_is_no_address() -> None:
    with pytest.raises(BadValue):
        key_of("nobody")
