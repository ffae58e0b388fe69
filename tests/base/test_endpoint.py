"""Addresses with ports."""

from __future__ import annotations

import pytest

from ekiden.base.endpoint import Endpoint, parse_endpoint, parse_host_name, parse_ip
from ekiden.base.errors import BadValue


@pytest.mark.parametrize(("text", "host", "port"), [
    ("192.0.2.1:25", "192.0.2.1", 25),
    ("[::1]:25", "::1", 25),
    ("[2001:DB8:0:0::1]:587", "2001:db8::1", 587),
    ("Mail.Example.org:465", "mail.example.org", 465),
    ("localhost:0", "localhost", 0),
])
def test_an_endpoint_is_read_and_written(text: str, host: str, port: int) -> None:
    endpoint = parse_endpoint(text)
    assert endpoint == Endpoint(host, port)
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize("text", [
    "", ":25", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:x", "192.0.2.1:٣", "192.0.2.300:25", "1.2:25", "::1:25",
    "[::1]", "[::1]25", "[192.0.2.1]:25", "[::1:25", "mail_example:25", "-a.example:25",
    "192.0.2.1:25\n", "a b:25", "[fe80::1%eth0]x:25",
])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_endpoint(text)


def test_a_missing_port_may_have_a_default() -> None:
    assert parse_endpoint("192.0.2.53", 53) == Endpoint("192.0.2.53", 53)
    assert parse_endpoint("[::1]", 53) == Endpoint("::1", 53)


def test_a_bare_ipv6_address_is_told_about_brackets() -> None:
    with pytest.raises(BadValue, match="brackets"):
        parse_endpoint("::1:25")


@pytest.mark.parametrize("text", ["", "127.0.0.1", "a..b", ".a", "a" * 64 + ".example", "ex ample", "exämple.org", "a.b\n"])
def test_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_host_name(text)


def test_host_names_lose_case_and_final_dot() -> None:
    assert parse_host_name("MAIL.Example.Org.") == "mail.example.org"


@pytest.mark.parametrize("text", ["", "1.2.3", "01.2.3.4", "::1::", "example.org"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_ip(text)
