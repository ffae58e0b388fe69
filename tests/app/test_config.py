"""The configuration tree, its file and its environment."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ekiden.app.config import Config, Listeners, as_table, load, settings, show, unknown_variables
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import ConfigError
from ekiden.base.settings import convert

SMALL = 'hostname = "mail.example.test"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ekiden.toml"


def problems(file: Path, text: str | bytes, lang: str = "en", **environ: str) -> list[str]:
    """What load() complains about, without the folder's name."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(file, environ, lang)
    return [line.replace(str(file), "ekiden.toml") for line in caught.value.problems]


def test_a_host_name_is_all_that_is_needed(file: Path) -> None:
    file.write_text(SMALL)
    config = load(file, {})
    assert config == Config(hostname="mail.example.test")
    assert config.listeners.mx == (Endpoint("0.0.0.0", 25), Endpoint("::", 25))


def test_all_problems_name_file_line_key_and_what_was_expected(file: Path) -> None:
    text = SMALL + 'domains = ["example.test", "ex ample"]\nprocesess = 2\n[limits]\nmessage_size = "50 MX"\nrecipients = 5\n'
    assert problems(file, text) == [
        'ekiden.toml:2: domains[1]: expected a domain such as "example.org", found "ex ample"',
        'ekiden.toml:3: procesess: no such key; did you mean "processes"?',
        'ekiden.toml:5: limits.message_size: expected a size such as "25MB" or "64KiB", found "50 MX"',
        "ekiden.toml:6: limits.recipients: expected 100 to 100000, found 5",
    ]


def test_problems_are_told_in_japanese_too(file: Path) -> None:
    assert problems(file, SMALL + "procesess = 2\n", "ja") == [
        "ekiden.toml:2: procesess: このようなキーはありません。「processes」の間違いではありませんか",
    ]


@pytest.mark.parametrize(("text", "words"), [
    ("", "ekiden.toml: hostname: must be set"),
    ("hostname = ", "ekiden.toml: is not valid TOML"),
    (SMALL * 2, "ekiden.toml: is not valid TOML"),
    (b"hostname = '\xff'", "ekiden.toml: is not UTF-8 text"),
    ("#" * 1_048_577, "ekiden.toml: is larger than 1MiB"),
    ("x = " + "[" * 5000 + "]" * 5000, "ekiden.toml: is not valid TOML"),
    (SMALL + "[tls]\ncertificate = 'c.pem'\n", "ekiden.toml:3: tls.certificate: certificate and key belong together"),
    (SMALL + "[listeners]\nimap = ['127.0.0.1:143']\n", "ekiden.toml:3: listeners.imap: a listener for imap needs tls"),
    (SMALL + "[listeners]\nmx = ['127.0.0.1:25', '127.0.0.1:25']\n",
     "ekiden.toml:3: listeners.mx[1]: 127.0.0.1:25 is given to mx"),
    (SMALL + "[outbound.smarthost]\nuser = 'x'\n", "ekiden.toml:3: outbound.smarthost.user: a user needs a password_file"),
    (SMALL + "[outbound.smarthost]\npassword_file = 'x'\n",
     "ekiden.toml:3: outbound.smarthost.password_file: a password_file needs a user"),
    (SMALL + "policies = ['spf']\n", "ekiden.toml:2: policies[0]: expected a policy"),
    (SMALL + "[store]\nurl = 'ekiden.db'\n", "ekiden.toml:3: store.url: expected a store URL"),
    (SMALL + "limits = 3\n", "ekiden.toml:2: limits: expected a table"),
])
def test_what_is_wrong_is_said_where_it_is(file: Path, text: str | bytes, words: str) -> None:
    assert problems(file, text)[0].startswith(words)


def test_a_name_server_needs_no_port(file: Path) -> None:
    file.write_text(SMALL + '[dns]\nservers = ["192.0.2.53", "[::1]:5353"]\n')
    assert load(file, {}).dns.servers == (Endpoint("192.0.2.53", 53), Endpoint("::1", 5353))
    file.write_text(SMALL + '[dns]\ntrusted = ["127.0.0.1", "0:0::1"]\n')
    assert load(file, {}).dns.trusted == ("127.0.0.1", "::1")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml", {})


def test_a_port_that_the_system_chooses_may_stand_twice(file: Path) -> None:
    file.write_text(SMALL + "[listeners]\nmx = ['127.0.0.1:0', '127.0.0.1:0']\n")
    assert load(file, {}).listeners.mx == (Endpoint("127.0.0.1", 0),) * 2


def test_the_environment_wins_over_the_file(file: Path) -> None:
    file.write_text(SMALL + "[limits]\nrecipients = 200\n")
    environ = {"EKIDEN_LIMITS__RECIPIENTS": "300", "EKIDEN_DOMAINS": "a.test, b.test", "EKIDEN_OUTBOUND__HOLD": "true"}
    config = load(file, environ)
    assert (config.limits.recipients, config.domains, config.outbound.hold) == (300, ("a.test", "b.test"), True)


def test_the_environment_alone_is_enough() -> None:
    assert load(None, {"EKIDEN_HOSTNAME": "mail.example.test"}).hostname == "mail.example.test"


def test_a_problem_of_the_environment_names_its_variable(file: Path) -> None:
    told = problems(file, SMALL, EKIDEN_LIMITS__RECIPIENTS="many")
    assert told == ["EKIDEN_LIMITS__RECIPIENTS: limits.recipients: expected a whole number, found \"many\""]


def test_a_wrong_table_in_the_file_is_told_also_with_an_environment(file: Path) -> None:
    assert "expected a table" in problems(file, SMALL + "limits = 3\n", EKIDEN_LIMITS__RECIPIENTS="300")[0]


def test_unknown_variables_are_named_with_the_nearest() -> None:
    environ = {"EKIDEN_LIMITS__RECIPIENT": "1", "EKIDEN_CONFORMANCE": "/x", "EKIDEN_HOSTNAME": "x", "PATH": "/bin"}
    told = unknown_variables(environ)
    assert len(told) == 1
    assert "did you mean EKIDEN_LIMITS__RECIPIENTS" in told[0]


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text(
        SMALL + "data_dir = 'data'\npolicies = ['mine.py:check', 'builtin:spf']\n"
        "[tls]\ncertificate = 'c.pem'\nkey = '/etc/k.pem'\n"
        "[outbound.smarthost]\nuser = 'x'\npassword_file = 'secret'\n"
    )
    config = load(file, {})
    assert config.data_dir == str(tmp_path / "data")
    assert (config.tls.certificate, config.tls.key) == (str(tmp_path / "c.pem"), "/etc/k.pem")
    assert config.outbound.smarthost.password_file == str(tmp_path / "secret")
    assert config.policies == (f"{tmp_path}/mine.py:check", "builtin:spf")
    assert config.store_url == f"sqlite://{tmp_path}/data/ekiden.db"


def test_what_is_shown_is_read_as_the_same_tree() -> None:
    config = Config(hostname="mail.example.test", listeners=Listeners(mx=(Endpoint("::1", 25),)))
    assert convert(Config, tomllib.loads(show(config))) == (config, [])
    assert as_table(config)["hostname"] == "mail.example.test"


def test_every_setting_has_a_sentence_and_a_default_that_is_allowed() -> None:
    for entry in settings():
        assert entry.setting.doc.endswith(".")
        assert entry.kind
    table = tomllib.loads(show(Config(hostname="mail.example.test")))
    assert convert(Config, table)[1] == []


def test_what_comes_from_the_environment_is_plain_text(tmp_path: Path) -> None:
    (tmp_path / "ekiden.toml").write_text(SMALL)
    config = load(tmp_path / "ekiden.toml", {"EKIDEN_POLICIES": "builtin:dmarc", "EKIDEN_DOMAINS": "one.test"})
    assert [type(word) for word in (*config.policies, *config.domains)] == [str, str]
