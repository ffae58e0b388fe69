"""SIZE, RFC 1870. Row SS-20."""

from __future__ import annotations

import pytest

from ekiden.base.errors import BadValue
from ekiden.smtp.extension import View
from ekiden.smtp.extensions.size import EXTENSION
from ekiden.smtp.replies import MESSAGE_TOO_BIG

VIEW = View(1000, "mx")


def test_the_limit_is_shown() -> None:
    assert EXTENSION.advertise(VIEW) == "1000"


@pytest.mark.parametrize(("raw", "size"), [(b"0", 0), (b"007", 7), (b"9" * 20, int("9" * 20))])
def test_size(raw: bytes, size: int) -> None:
    assert EXTENSION.mail_params["SIZE"](raw) == size


@pytest.mark.parametrize("raw", [None, b"", b"-1", b"+1", b"1_0", b" 1", b"\xd9\xa1", b"9" * 21, b"9" * 5000])
def test_bad_size(raw: bytes | None) -> None:
    with pytest.raises(BadValue):
        EXTENSION.mail_params["SIZE"](raw)


def test_too_big_is_refused_before_it_is_sent() -> None:
    check = EXTENSION.check_mail
    assert check is not None
    assert (check(VIEW, {"SIZE": 1000}), check(VIEW, {}), check(VIEW, {"SIZE": 1001})) == (None, None, MESSAGE_TOO_BIG)
