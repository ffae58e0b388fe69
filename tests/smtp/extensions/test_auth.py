"""AUTH, RFC 4954 §3, §5. Row SS-22."""

from __future__ import annotations

import pytest

from ekiden.base.errors import BadValue
from ekiden.smtp.extension import View
from ekiden.smtp.extensions.auth import EXTENSION


def test_shown_where_mechanisms_are() -> None:
    assert EXTENSION.advertise(View(1, "submission", secure=True, mechanisms=("PLAIN", "LOGIN"))) == "PLAIN LOGIN"
    assert EXTENSION.advertise(View(1, "submission")) is None


@pytest.mark.parametrize(("raw", "value"), [(b"<>", "<>"), (b"e+3Dmc2@x.test", "e=mc2@x.test")])
def test_parameter_of_mail(raw: bytes, value: str) -> None:
    assert EXTENSION.mail_params["AUTH"](raw) == value


@pytest.mark.parametrize("raw", [None, b"e+0D+0AX-Evil:+20y", b"+"])
def test_bad_parameter(raw: bytes | None) -> None:
    with pytest.raises(BadValue):
        EXTENSION.mail_params["AUTH"](raw)
