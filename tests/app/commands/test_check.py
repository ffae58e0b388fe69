"""ekiden check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.calls import SETTINGS, Calls
from tests.app.zones import served

from ekiden.testing.dns import FakeZone


def test_what_lies_in_the_drop_in_folders_is_listed(ekiden: Calls) -> None:
    told = ekiden.json("check")
    found = {(one["kind"], one["name"]) for one in told["found"]}
    assert {("smtp-extension", "size"), ("sasl-mechanism", "plain"), ("store-engine", "sqlite"), ("command", "check")} <= found
    assert {one["error"] for one in told["found"]} == {""}
    assert next(one for one in told["found"] if one["name"] == "size")["rfcs"] == "RFC 1870"


def test_versions_are_told(ekiden: Calls) -> None:
    assert ekiden.out("check").startswith("ekiden")
    assert set(ekiden.json("check")["versions"]) == {"ekiden", "python", "sqlite", "tls", "system"}


# ---- ekiden check mail -----------------------------------------------------------------------------------

_LETTER = b"From: alice@good.test\n\nhello\n"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    """A configuration whose name server knows good.test."""
    zone = FakeZone()
    zone["good.test"] = ["TXT v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"]
    zone["_dmarc.good.test"] = ["TXT v=DMARC1; p=reject"]
    zone["1.2.0.192.in-addr.arpa"] = ["PTR out.good.test."]
    zone["out.good.test"] = ["A 192.0.2.1"]
    with served(zone) as server:
        yield Calls(tmp_path_factory.mktemp("asking"), f'{SETTINGS}[dns]\nservers = ["{server}"]\n')


_ADDRESSES = ["192.0.2.1", "[192.0.2.1]", "::ffff:192.0.2.1", "2001:db8::1", "[IPv6:2001:db8::1]", "2001:db8::1%eth0"]


@pytest.mark.parametrize("address", _ADDRESSES)
def test_an_address_and_a_sender_are_taken_in_any_usual_form(asking: Calls, address: str) -> None:
    sender = "<alice@good.test>" if "[" in address else "alice@good.test"
    told = asking.out("check", "mail", "--from-ip", address, "--mail-from", sender, input=_LETTER.decode())
    assert "SPF says: pass" in told
    assert told.endswith("It would be taken.\n")
    if "192" in address:
        assert "iprev says: pass (policy.iprev=192.0.2.1)" in told


def test_a_forged_message_is_explained_in_japanese_too(asking: Calls) -> None:
    told = asking.out("check", "mail", "--from-ip", "203.0.113.9", "--mail-from", "<>", "--lang", "ja", input=_LETTER.decode())
    assert "DMARCの結果はfailです" in told
    assert "拒否されます: 550 5.7.1" in told


def test_the_line_that_mbox_begins_a_message_with_is_none_of_it(asking: Calls) -> None:
    raw = "From alice@good.test Tue Nov 24 10:00:00 2026\nReturn-Path: <alice@good.test>\n" + _LETTER.decode()
    assert "It would be taken." in asking.out("check", "mail", "--from-ip", "192.0.2.1", input=raw)


@pytest.mark.parametrize("raw", [b"", b"\0\xff" * 5_000, b"Subject: x\n\n", b"\xef\xbb\xbf" + _LETTER, b"From: a@good.test\rhello"])
def test_what_is_no_message_would_be_refused(asking: Calls, raw: bytes) -> None:
    done = asking.run("check", "mail", "--from-ip", "192.0.2.1", input=raw)
    assert done.exit_code == 0
    assert "It would be refused: 550 5.6.0" in done.stdout
    assert "null reverse path" in done.stderr


@pytest.mark.parametrize("option", [("--from-ip", "x"), ("--from-ip", ""), ("--from-ip", "1.2.3.4", "--mail-from", "a b")])
def test_what_is_no_address_is_named(asking: Calls, option: tuple[str, ...]) -> None:
    assert "such as" in asking.fails("check", "mail", *option, status=2)
    assert "必要です" in asking.fails("check", "mail", *option, "--lang", "ja", status=2)


def test_a_file_that_is_not_there_is_named(asking: Calls, tmp_path: Path) -> None:
    assert "No such file" in asking.fails("check", "mail", "--from-ip", "192.0.2.1", str(tmp_path / "none.eml"), status=2)
