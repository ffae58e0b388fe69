"""Paths and mailboxes of SMTP."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.mail.address import (
    NULL_PATH,
    Domain,
    NeedsUtf8,
    Path,
    display_path,
    format_path,
    parse_address_literal,
    parse_domain,
    parse_mailbox,
    parse_path,
    quote_local,
)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"alice@example.test", Path("alice", Domain("example.test"))),
        (b"Alice@EXAMPLE.Test", Path("Alice", Domain("example.test"))),
        (b'"a b"@example.test', Path("a b", Domain("example.test"))),
        (b'"a\\"b"@example.test', Path('a"b', Domain("example.test"))),
        (b"@one.test,@two.test:alice@example.test", Path("alice", Domain("example.test"))),  # RFC 5321 §4.1.1.3
        (b"a@[192.0.2.1]", Path("a", IPv4Address("192.0.2.1"))),
        (b"a@[IPv6:2001:db8::1]", Path("a", IPv6Address("2001:db8::1"))),
        (b"postmaster", Path("postmaster", None)),
        (b"a" * 64 + b"@example.test", Path("a" * 64, Domain("example.test"))),
        ("用@例え.test".encode(), Path("用", Domain("xn--r8jz45g.test"))),
    ],
)
def test_forward_paths_are_read(raw: bytes, path: Path) -> None:
    assert parse_path(raw, utf8=True, what="forward") == path


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"alice", b"@example.test", b"a@", b"a@b@c.test", b"a@-b.test", b"a@b..test", b"a@b.test.", b".a@b.test", b"a.@b.test",
        b"a..b@b.test", b"a b@b.test", b"a@b.test\r\nRCPT TO:<x>", b"a\x00@b.test", b"a" * 65 + b"@b.test", b"a@" + b"b" * 64 + b".test",
        b"a@1.2.3.4", b"a@[1.2.3]", b"a@[IPv6:fe80::1%eth0]", b"a@[256.0.0.1]", b"\xff@b.test", "a@b.test\u2028".encode(), b'"a@b.test',
        b"@one.test:a@b.test:", b"a@" + b"b." * 130 + b"test",
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        parse_path(raw, utf8=True, what="forward")


def test_only_a_reverse_path_may_be_empty_and_only_a_forward_path_may_lack_a_domain() -> None:
    assert parse_path(b"", utf8=False, what="reverse") == NULL_PATH
    with pytest.raises(BadValue):
        parse_path(b"postmaster", utf8=False, what="reverse")


def test_without_smtputf8_an_address_outside_ascii_is_told_apart() -> None:
    with pytest.raises(NeedsUtf8):
        parse_path("用@example.test".encode(), utf8=False, what="forward")


def test_loose_dots_are_taken_only_where_asked_for() -> None:
    assert parse_path(b"a..b.@docomo.test", utf8=False, what="forward", loose_dots=True).local == "a..b."


@given(st.text(min_size=1, max_size=30).filter(lambda text: "\\" not in text))
def test_what_is_formatted_is_read_back(local: str) -> None:
    raw = f"{quote_local(local)}@example.test".encode("utf-8", "replace")
    try:
        path = parse_path(raw, utf8=True, what="forward")
    except BadValue:
        return
    assert path == Path(local, Domain("example.test"))
    assert parse_mailbox(format_path(path)) == path


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    try:
        path = parse_path(raw, utf8=True, what="reverse")
    except BadValue:
        return
    assert parse_path(format_path(path).encode(), utf8=True, what="reverse") == path


def test_people_see_unicode_and_the_wire_sees_a_labels() -> None:
    path = parse_mailbox("a@例え.test")
    assert format_path(path) == "a@xn--r8jz45g.test"
    assert display_path(path) == "a@例え.test"
    assert format_path(NULL_PATH) == ""
    assert format_path(Path("a", IPv6Address("2001:db8::1"))) == "a@[IPv6:2001:db8::1]"


def test_domains_and_literals() -> None:
    assert parse_domain(b"Example.TEST") == Domain("example.test")
    assert parse_address_literal(b"[192.0.2.1]") == IPv4Address("192.0.2.1")
    for raw in ("192.0.2.1", "[]", "[x]", "[IPv6:]", "[192.0.2.1", "[0192.0.2.1]"):
        with pytest.raises(BadValue):
            parse_address_literal(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b";for i in 0 1 2 3 4 5;do read r;done;sh;exit 0;",
        b"${run{/bin/sh -c id}}@local.test",
        b":include:/etc/passwd@local.test",
        b"*)(uid=*@local.test",
        b"a<b>@local.test",
        b"v@remote.test@local.test",
        b"v@remote.test@[127.0.0.1]",
        b'"v@remote.test"',
        b"alice@xn--zzzzzzzz9999999.test",
        b"alice@" + b"x" * 200 + b".test",
    ],
)
def test_old_attacks_on_what_runs_behind_an_address_are_no_paths(raw: bytes) -> None:
    with pytest.raises(BadValue):
        parse_path(raw, utf8=True, what="forward")


@pytest.mark.parametrize(
    ("raw", "local"),
    [
        (b"\"x'/**/UNION/**/SELECT/**/X'00'--\"@evil.test", "x'/**/UNION/**/SELECT/**/X'00'--"),
        (b'"|/bin/sh"@local.test', "|/bin/sh"),
        (b'"v@remote.test"@local.test', "v@remote.test"),
        (b"v%remote.test@local.test", "v%remote.test"),
        (b"remote.test!v@local.test", "remote.test!v"),
        (b"alice+a/b@local.test", "alice+a/b"),
        ("mi\u212ae@local.test".encode(), "mi\u212ae"),
    ],
)
def test_a_strange_local_part_stays_as_it_is_written(raw: bytes, local: str) -> None:
    assert parse_path(raw, utf8=True, what="forward").local == local


def test_a_full_width_domain_is_the_domain_that_it_maps_to() -> None:
    path = parse_path("alice@\uff4c\uff4f\uff43\uff41\uff4c.test".encode(), utf8=True, what="forward")
    assert path == Path("alice", Domain("local.test"))
