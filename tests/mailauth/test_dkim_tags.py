"""Tag lists."""

from __future__ import annotations

from contextlib import suppress

import pytest
from tests.mailauth.quick import quickly

from ekiden.base.errors import BadValue
from ekiden.mailauth.dkim_tags import parse_tags, parts_of, without_space


@pytest.mark.parametrize(("raw", "tags"), [
    (b"v=1; a=rsa-sha256", {"v": "1", "a": "rsa-sha256"}),
    (b"v=DKIM1;p=", {"v": "DKIM1", "p": ""}),  # RFC 6376 §3.2: an empty value is a value
    (b" a = b ;\r\n\tc=d\r\n\t e;", {"a": "b", "c": "d\r\n\t e"}),
    (b"a=b=c==", {"a": "b=c=="}),
    (b"A=1;a=2", {"A": "1", "a": "2"}),  # names are told apart by case
    (b"x_1=y;  \t", {"x_1": "y"}),
    ("d=例え.test".encode(), {"d": "例え.test"}),  # RFC 8616 §5
])
def test_a_list_is_read(raw: bytes, tags: dict[str, str]) -> None:
    assert parse_tags(raw) == tags


@pytest.mark.parametrize("raw", [
    b"", b"  ", b";", b"a=b;;c=d", b"a", b"=b", b"a=b; c", b"1=b", b"a b=c", b"a=b;a=c", b"a=\x00", b"a=\x7f", b"a=\xff", b"-=1",
    b";a=b", b"a=b; =c", b";".join(b"t%d=" % n for n in range(101)), b"a=" + b"b" * (32 << 10),
])
def test_what_is_no_list_is_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        parse_tags(raw)


@pytest.mark.parametrize("raw", [
    b"a=" + b" \r\n\t" * 8000, b" " * 32_000 + b"!", b"a" * 32_000, b"a=;" * 10_000, b"h=" + b"x:" * 16_000, b"a" + b" " * 32_000 + b"!",
])
def test_hostile_lists_take_no_time(raw: bytes) -> None:
    def work() -> None:
        with suppress(BadValue):
            parse_tags(raw)

    quickly(work)


def test_white_space_inside_a_value_can_be_dropped() -> None:
    assert without_space("ab\r\n\tc d=") == "abcd="
    assert without_space("abcd") == "abcd"
    assert parts_of("from : to:\r\n subject:") == ["from", "to", "subject", ""]
