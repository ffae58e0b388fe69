"""ARC as the suite of ValiMail tests it: every chain, and every seal octet for octet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.suites.data import conformance

from ekiden.base.clock import Millis
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc import ArcOutcome, ArcSealer, own_results, verify_chain
from ekiden.mailauth.dkim_key import SigningKey
from ekiden.mailauth.results import Result
from ekiden.testing.dns import FakeZone

_FOLDER = conformance("arc")
_NOW = Millis(1_500_000_000_000)


@dataclass(frozen=True)
class Case:
    """One case with the scenario around it. The values are as the file has them."""

    name: str
    scenario: dict[str, Any]
    test: dict[str, Any]

    @property
    def message(self) -> bytes:
        return str(self.test["message"]).encode().replace(b"\n", b"\r\n")

    def check(self) -> ArcOutcome:
        zone = FakeZone()
        for name, value in (self.scenario.get("txt-records") or {}).items():
            zone[name.lower()] = [f"TXT {value.replace(chr(10), '')}"]
        return zone.run(verify_chain(self.message, parse_headers(self.message), _NOW))


def _cases(file: Path) -> Iterator[Case]:
    for scenario in yaml.safe_load_all(file.read_text("utf-8")):
        for name, test in ((scenario or {}).get("tests") or {}).items():
            yield Case(name, scenario, test)


def _read(name: str) -> list[Case]:
    return list(_cases(_FOLDER / name)) if _FOLDER is not None else []


_CHAINS = _read("arc-draft-validation-tests.yml")
_SEALS = _read("arc-draft-sign-tests.yml")


@pytest.mark.conformance("arc", 126)
@pytest.mark.parametrize("case", _CHAINS, ids=[case.name for case in _CHAINS])
def test_ax_32_chains_are_judged(case: Case) -> None:
    outcome = case.check()
    wanted = (case.test["cv"] or "").strip().lower()
    if wanted:
        assert outcome.result.value == wanted, outcome.because
    else:  # RFC 8617 §5.2, step 2: a seal says cv=fail, so nothing is left to judge; the suite writes no result
        assert (outcome.result, outcome.failed_at > 0) == (Result.FAIL, True)


@pytest.mark.conformance("arc", 126)
@pytest.mark.parametrize("case", _SEALS, ids=[case.name for case in _SEALS])
def test_ax_32_seals_are_made(case: Case) -> None:
    scenario, test = case.scenario, case.test
    private = load_pem_private_key(scenario["privatekey"].encode(), None)
    assert isinstance(private, RSAPrivateKey)
    headers = parse_headers(case.message)
    sealer = ArcSealer(
        headers, own_results(headers, test["srv-id"]), case.check(), SigningKey(scenario["domain"], scenario["sel"], private),
        Millis(test["t"] * 1000), test["sig-headers"].split(":"), as_published=True,
    )  # fmt: skip
    sealer.update(case.message, headers.body_at)
    made = {name.decode(): value for name, value in parse_headers(sealer.fields() + b"\r\n").fields}
    assert list(made) == (["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"] if (test["AS"] or "").strip() else [])
    for short, name in (("AMS", "ARC-Message-Signature"), ("AAR", "ARC-Authentication-Results"), ("AS", "ARC-Seal")):
        assert _tags(made.get(name, b"").decode()) == _tags(test[short] or ""), short


def _tags(text: str) -> set[str]:
    return set("".join(text.split()).split(";"))


def test_no_case_is_lost() -> None:
    if _FOLDER is None:
        pytest.skip("the published cases of arc are not here")
    assert (len(_CHAINS), len(_SEALS)) == (114, 12)
