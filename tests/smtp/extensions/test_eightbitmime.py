"""8BITMIME, RFC 6152 §2."""

from __future__ import annotations

import pytest

from ekiden.base.errors import BadValue
from ekiden.mail.envelope import Body
from ekiden.smtp.extensions.eightbitmime import EXTENSION


@pytest.mark.parametrize(("raw", "body"), [(b"7BIT", Body.SEVEN), (b"8bitMIME", Body.EIGHT)])
def test_body(raw: bytes, body: Body) -> None:
    assert EXTENSION.mail_params["BODY"](raw) == body


@pytest.mark.parametrize("raw", [None, b"", b"9BIT", b"BINARYMIME"])
def test_bad_body(raw: bytes | None) -> None:
    with pytest.raises(BadValue):
        EXTENSION.mail_params["BODY"](raw)
