"""ekiden dkim."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.app.calls import SETTINGS, Calls
from tests.app.zones import served
from tests.store.stores import in_one

from ekiden.app.clock import SystemClock
from ekiden.app.commands.dkim import VERIFICATION_MS
from ekiden.base.clock import Millis
from ekiden.store import dkim_keys
from ekiden.store.database import Tx
from ekiden.testing.dns import FakeZone

NEW = ("dkim", "new", "one.test", "--selector", "s1", "--algorithm")


def _status(ekiden: Calls) -> dict[str, str]:
    keys = in_one(ekiden.folder / "data", dkim_keys.everything)
    return {key.selector: key.status.value for key in keys}


def _make(ekiden: Calls, *words: str) -> Any:
    return ekiden.json("dkim", *words)


def test_a_new_domain_gets_a_key_of_each_kind_and_their_records(ekiden: Calls) -> None:
    made = _make(ekiden, "new", "one.test")
    assert [key["algorithm"] for key in made] == ["rsa", "ed25519"]
    rsa, edwards = made
    assert rsa["name"] == f"{rsa['selector']}._domainkey.one.test"
    assert rsa["value"].startswith("v=DKIM1; k=rsa; p=MII")
    assert all(len(string) <= 255 for string in rsa["zone"].split('"')[1::2])
    assert "".join(rsa["zone"].split('"')[1::2]) == rsa["value"]
    assert edwards["zone"] == f'{edwards["name"]}.  IN  TXT  "{edwards["value"]}"'
    assert set(_status(ekiden).values()) == {"new"}
    assert [key["selector"] for key in ekiden.json("dkim", "list")] == sorted(key["selector"] for key in made)


def test_records_are_printed_for_people_too(ekiden: Calls) -> None:
    text = ekiden.out(*NEW, "rsa")
    value = ekiden.json("dkim", "show", "one.test", "s1")[0]["value"]
    assert f";   {value}\n" in text
    assert "ekiden dkim activate one.test" in text
    assert "公開" in ekiden.out("dkim", "show", "one.test", "--lang", "ja")


def test_private_keys_are_nowhere_in_the_clear(ekiden: Calls) -> None:
    ekiden.out(*NEW, "both")
    assert ((ekiden.folder / "data" / "master.key").stat().st_mode & 0o777) == 0o600
    files = [file.read_bytes() for file in (ekiden.folder / "data").iterdir() if file.is_file() and file.name != "master.key"]
    assert files
    pkcs8 = (bytes.fromhex("300d06092a864886f70d010101050004"), bytes.fromhex("300506032b657004220420"))
    assert not [1 for content in files for mark in pkcs8 if mark in content]


def test_the_master_key_may_be_a_named_file(ekiden: Calls) -> None:
    ekiden.file.write_text(f'{SETTINGS}[keys]\nmaster_file = "credential"\n', "utf-8")
    assert "the master key /credential is not there" in ekiden.fails(*NEW, "rsa")
    (ekiden.folder / "credential").write_text("A" * 43 + "=\n", "ascii")
    (ekiden.folder / "credential").chmod(0o400)
    ekiden.out(*NEW, "rsa")
    assert not (ekiden.folder / "data" / "master.key").exists()


def test_a_lost_master_key_is_told_and_not_replaced(ekiden: Calls) -> None:
    ekiden.out(*NEW, "rsa")
    (ekiden.folder / "data" / "master.key").unlink()
    assert "the master key is not there" in ekiden.fails("dkim", "new", "one.test")
    assert "cannot be read" in ekiden.fails("dkim", "activate", "one.test", "--force")
    assert not (ekiden.folder / "data" / "master.key").exists()
    assert _status(ekiden) == {"s1": "new"}


@pytest.mark.parametrize(("words", "said"), [
    (("new", "two.test"), "two.test is no domain of this server"),
    (("new", "one.test", "--selector", "a b"), "is no selector"),
    (("new", "one.test", "--selector", "x" * 60), "is no selector"),
    (("show", "one.test"), "one.test has no keys"),
    (("show", "a b"), "expected a domain"),
    (("remove", "one.test", "s1"), "one.test has no keys"),
])
def test_what_is_wrong_is_told(ekiden: Calls, words: tuple[str, ...], said: str) -> None:
    ekiden.out("domain", "add", "three.test")
    assert said in ekiden.fails("dkim", *words, status=2)


def test_a_selector_is_not_given_twice(ekiden: Calls) -> None:
    ekiden.out(*NEW, "rsa")
    assert "one.test has a key s1 already" in ekiden.fails(*NEW, "rsa")
    assert "has no key s2" in ekiden.fails("dkim", "show", "one.test", "s2", status=2)
    first = _make(ekiden, "new", "one.test")
    again = _make(ekiden, "new", "one.test")
    assert not {key["selector"] for key in first} & {key["selector"] for key in again}


def test_a_rotation_goes_in_steps(ekiden: Calls) -> None:
    ekiden.out("domain", "add", "three.test")
    assert "no key signs" in ekiden.fails("dkim", "rotate", "one.test")
    ekiden.out(*NEW, "both")
    ekiden.out("dkim", "activate", "one.test", "--force")
    assert _status(ekiden) == {"s1-ed25519": "active", "s1-rsa": "active"}
    assert "has no new key" in ekiden.fails("dkim", "activate", "one.test", "--force")
    made = _make(ekiden, "rotate", "one.test", "--selector", "s2")
    assert sorted(key["selector"] for key in made) == ["s2-ed25519", "s2-rsa"]
    assert _status(ekiden) == {"s1-ed25519": "active", "s1-rsa": "active", "s2-ed25519": "new", "s2-rsa": "new"}
    assert "has begun" in ekiden.fails("dkim", "rotate", "one.test")
    said = ekiden.out("dkim", "activate", "one.test", "--force")
    assert "s1-ed25519, s1-rsa signs no more" in said
    assert _status(ekiden) == {"s1-ed25519": "old", "s1-rsa": "old", "s2-ed25519": "active", "s2-rsa": "active"}
    assert "may still be on its way" in ekiden.fails("dkim", "retire", "one.test")

    def time_passes(tx: Tx) -> None:
        for key in dkim_keys.everything(tx):
            at = Millis(SystemClock().now() - VERIFICATION_MS)
            tx.run("dkim_key_status", domain=key.domain, selector=key.selector, status=key.status.value, now=at)

    in_one(ekiden.folder / "data", time_passes)
    assert "s1-rsa._domainkey.one.test." in ekiden.out("dkim", "retire", "one.test")
    assert _status(ekiden) == {"s2-ed25519": "active", "s2-rsa": "active"}
    assert "has no former key" in ekiden.fails("dkim", "retire", "one.test")


def test_a_key_is_removed_only_on_purpose(ekiden: Calls) -> None:
    ekiden.out(*NEW, "rsa")
    assert "nothing was done" in ekiden.run("dkim", "remove", "one.test", "s1", input="n\n").stderr
    assert _status(ekiden) == {"s1": "new"}
    assert "s1._domainkey.one.test." in ekiden.out("dkim", "remove", "one.test", "S1", "--yes")
    assert _status(ekiden) == {}


def test_two_new_keys_of_one_kind_are_not_both_put_to_use(ekiden: Calls) -> None:
    ekiden.out(*NEW, "rsa")
    ekiden.out("dkim", "new", "one.test", "--selector", "s2", "--algorithm", "rsa")
    assert "name one: s1, s2" in ekiden.fails("dkim", "activate", "one.test", "--force", status=2)
    ekiden.out("dkim", "activate", "one.test", "s2", "--force")
    assert _status(ekiden) == {"s1": "new", "s2": "active"}


@pytest.fixture
def zone(ekiden: Calls) -> Iterator[FakeZone]:
    """The DNS that the configuration names."""
    records = FakeZone()
    with served(records) as address:
        ekiden.file.write_text(f'{SETTINGS}[dns]\nservers = ["{address}"]\n', "utf-8")
        yield records


def test_a_key_is_put_to_use_only_when_the_dns_shows_it(ekiden: Calls, zone: FakeZone) -> None:
    (made,) = _make(ekiden, "new", "one.test", "--selector", "s1", "--algorithm", "ed25519")
    said = ekiden.fails("dkim", "activate", "one.test")
    assert "s1._domainkey.one.test. is not in the DNS yet" in said
    assert "nothing was changed" in said
    zone[made["name"]] = ["TXT v=DKIM1; p="]
    assert "holds something else" in ekiden.fails("dkim", "activate", "one.test")
    zone[made["name"]] = [f"TXT {made['value']}", "TXT other"]
    assert "has several records" in ekiden.fails("dkim", "activate", "one.test")
    zone[made["name"]] = ["SERVFAIL"]
    assert "cannot be looked up now" in ekiden.fails("dkim", "activate", "one.test")
    assert _status(ekiden) == {"s1": "new"}
    zone[made["name"]] = [f"TXT {made['value']}"]
    assert "is signed with s1" in ekiden.out("dkim", "activate", "one.test")
    assert _status(ekiden) == {"s1": "active"}


def _activate_with(ekiden: Calls, failpoint: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")}
    command = [sys.executable, "-m", "ekiden", "--config", str(ekiden.file), "dkim", "activate", "one.test", "s2", "--force"]
    return subprocess.run(command, env={**environment, "EKIDEN_FAILPOINT": failpoint}, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("action", ["kill", "eio", "enospc", "raise"])
def test_a_rotation_that_dies_half_done_leaves_the_former_key_f_19(ekiden: Calls, action: str) -> None:
    ekiden.out(*NEW, "rsa")
    ekiden.out("dkim", "activate", "one.test", "--force")
    ekiden.out("dkim", "new", "one.test", "--selector", "s2", "--algorithm", "rsa")
    died = _activate_with(ekiden, f"K23:1:{action}")
    assert died.returncode == (-signal.SIGKILL if action == "kill" else 1), died.stderr
    assert _status(ekiden) == {"s1": "active", "s2": "new"}, "the former key, never none"
    done = _activate_with(ekiden, "")
    assert done.returncode == 0, done.stderr
    assert _status(ekiden) == {"s1": "old", "s2": "active"}


def test_a_master_key_half_made_is_none(tmp_path: Path) -> None:
    """A process that dies while it makes the file leaves a draft under another name, and the next one makes its own."""
    ekiden = Calls(tmp_path)
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / ".master.key.0011223344556677").write_bytes(b"QUJD")
    ekiden.out(*NEW, "ed25519")
    ekiden.out("dkim", "activate", "one.test", "--force")
    assert _status(ekiden) == {"s1": "active"}
