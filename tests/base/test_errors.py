"""The errors that callers can act on."""

from __future__ import annotations

import pytest

from ekiden.base.errors import BadValue, ConfigError, EkidenError, ProtocolError, StoreError, Unreachable


@pytest.mark.parametrize("kind", [BadValue, ProtocolError, Unreachable, StoreError, ConfigError])
def test_every_error_of_the_house_has_one_parent(kind: type[EkidenError]) -> None:
    assert issubclass(kind, EkidenError)


def test_a_bad_value_is_a_value_error_and_shows_at_most_80_characters() -> None:
    error = BadValue("domain", b"x" * 1000, "too long")
    assert isinstance(error, ValueError)
    assert str(error) == f"not a valid domain: {b'x' * 80!r} (too long)"
    assert error.raw == b"x" * 1000
    assert str(BadValue("domain", "")) == "not a valid domain: ''"
    assert str(BadValue("report", because="no XML")) == "not a valid report (no XML)"


def test_a_configuration_error_has_a_line_for_each_problem() -> None:
    assert str(ConfigError(["a", "b"])) == "a\nb"
