"""libopendmarc, the library behind OpenDMARC: asked for many verdicts at once, in a process of its own.

It goes by RFC 7489 and a file in the form of the Public Suffix List. Records are handed to it, so that it asks no DNS.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.peers import catalogue

_STATUS = {15: "pass", 16: "reject", 17: "quarantine", 18: "none"}
"""DMARC_POLICY_… of its dmarc.h."""


@dataclass(frozen=True, slots=True)
class Case:
    """One message. record: what lies at the author domain, or at organisation where that is not None. spf, dkim: domains that passed."""

    author: str
    record: str
    organisation: str | None
    spf: str | None
    dkim: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """policy: "pass", or what the record asks for."""

    policy: str
    spf_aligned: bool
    dkim_aligned: bool


def verdicts(cases: Sequence[Case], suffix_list: Path) -> list[Verdict]:
    """What the library says of each case."""
    lines = _run({"list": str(suffix_list), "cases": [asdict(case) for case in cases]})
    return [Verdict(_STATUS[status], spf == 4, dkim == 4) for status, spf, dkim in lines]  # …_ALIGNMENT_PASS is 4


def organisations(domains: Sequence[str], suffix_list: Path) -> list[str]:
    """The organisational domain of each; names in ASCII only."""
    return [str(each) for each in _run({"list": str(suffix_list), "domains": list(domains)})]


def _run(order: object) -> list[list[int]]:
    tree = catalogue.tree("libopendmarc")
    library = next(path for path in tree.root.rglob("libopendmarc.so.2"))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(library)],
        input=json.dumps(order), capture_output=True, text=True, env=tree.environment(), timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[list[int]] = json.loads(done.stdout)
    return answers


_PROGRAM = '''
import ctypes, json, sys

lib = ctypes.CDLL(sys.argv[1])
lib.opendmarc_policy_connect_init.restype = ctypes.c_void_p
order = json.load(sys.stdin)
assert lib.opendmarc_tld_read_file(order["list"].encode(), b"//", b"*.", b"!") == 0

def text(value):
    return None if value is None else value.encode()

def verdict(case):
    context = ctypes.c_void_p(lib.opendmarc_policy_connect_init(b"192.0.2.1", 4))
    assert lib.opendmarc_policy_store_from_domain(context, text(case["author"])) == 0
    if case["spf"] is not None:
        assert lib.opendmarc_policy_store_spf(context, text(case["spf"]), 1, 1, None) == 0
    for domain in case["dkim"]:
        assert lib.opendmarc_policy_store_dkim(context, text(domain), b"s", 1, None) == 0
    stored = lib.opendmarc_policy_store_dmarc(context, text(case["record"]), text(case["author"]), text(case["organisation"]))
    assert stored == 0, (stored, case)
    policy = lib.opendmarc_get_policy_to_enforce(context)
    dkim, spf = ctypes.c_int(), ctypes.c_int()
    assert lib.opendmarc_policy_fetch_alignment(context, ctypes.byref(dkim), ctypes.byref(spf)) == 0
    lib.opendmarc_policy_connect_shutdown(context)
    return policy, spf.value, dkim.value

def organisation(domain):
    buffer = ctypes.create_string_buffer(512)
    assert lib.opendmarc_get_tld(text(domain), buffer, ctypes.c_size_t(512)) == 0
    return buffer.value.decode()

answers = [verdict(case) for case in order.get("cases", [])] + [organisation(domain) for domain in order.get("domains", [])]
json.dump(answers, sys.stdout)
'''
