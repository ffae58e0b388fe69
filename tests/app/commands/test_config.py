"""ekiden config."""

from __future__ import annotations

import tomllib

from tests.app.calls import Calls

from ekiden.app.settings_page import page


def test_a_right_configuration_is_said_to_be_right(ekiden: Calls) -> None:
    assert ekiden.out("config", "check").endswith("/ekiden.toml is right\n")
    assert ekiden.json("config", "check") == {"ok": True, "unused_variables": []}


def test_files_that_are_not_there_are_told(ekiden: Calls) -> None:
    ekiden.file.write_text(ekiden.file.read_text() + '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n')
    assert ekiden.fails("config", "check") == "ekiden: tls.certificate: there is no file /c.pem\nekiden: tls.key: there is no file /k.pem\n"


def test_a_certificate_that_is_none_is_told(ekiden: Calls) -> None:
    for name in ("c.pem", "k.pem"):
        (ekiden.folder / name).write_text("no certificate")
        (ekiden.folder / name).chmod(0o600)
    ekiden.file.write_text(ekiden.file.read_text() + '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n')
    assert "/c.pem is no certificate in PEM form" in ekiden.fails("config", "check")


def test_what_is_in_effect_is_shown(ekiden: Calls) -> None:
    assert tomllib.loads(ekiden.out("config", "show"))["hostname"] == "mail.one.test"
    assert ekiden.json("config", "show")["limits"]["message_size"] == "50MB"


def test_the_reference_page_is_printed(ekiden: Calls) -> None:
    assert ekiden.out("config", "docs") == page()
