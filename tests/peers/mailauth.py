"""mailauth, a library of others for Node.js that goes by RFC 9989: asked for many DMARC verdicts at once.

It comes from the package registry of Node.js, into .peers/mailauth, without running any script of its packages.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tests.peers.debian import PEERS, NotHere, locked

VERSION = "7.1.0"


@dataclass(frozen=True, slots=True)
class Case:
    """One message. spf, dkim: domains that passed. answers: "TXT name" → the strings of each record, or the code of an error."""

    author: str
    spf: str | None
    dkim: Sequence[str]
    answers: Mapping[str, list[list[str]] | str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """policy: what is to be done with a message that fails. policy_domain, organisation: "" where it says none."""

    result: str
    policy: str
    policy_domain: str
    organisation: str
    spf_aligned: bool
    dkim_aligned: bool


@cache
def fetch() -> Path:
    """The folder of the library. Raises NotHere."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise NotHere("needs npm and node")
    root = PEERS / "mailauth"
    made = root / f"made-{VERSION}"
    PEERS.mkdir(parents=True, exist_ok=True)
    with locked(PEERS / "mailauth.lock"):
        if not made.exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(root), f"mailauth@{VERSION}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                raise NotHere(f"npm: {done.stderr.strip().partition(chr(10))[0]}")
            made.touch()
    return root / "node_modules" / "mailauth"


def verdicts(cases: Sequence[Case]) -> list[Verdict]:
    """What the library says of each case."""
    done = subprocess.run(
        ["node", "-e", _PROGRAM, str(fetch() / "lib/dmarc/verify.js")],
        input=json.dumps([asdict(case) for case in cases]), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Verdict(*each) for each in json.loads(done.stdout)]


_PROGRAM = """
const verify = require(process.argv[1]);
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const judge = async one => {
    const resolver = async (name, kind) => {
        const answer = one.answers[kind + ' ' + name];
        if (answer === undefined) throw new Error('nobody expected the question ' + kind + ' ' + name);
        if (typeof answer === 'string') throw Object.assign(new Error(answer), { code: answer });
        return answer;
    };
    const said = await verify({
        headerFrom: ['someone@' + one.author], spfDomains: one.spf ? [one.spf] : [], dkimDomains: one.dkim, resolver,
    });
    const aligned = said.alignment || { spf: {}, dkim: {} };
    return [
        said.status.result, said.policy || '', said.policyDomain || '', said.domain || '',
        Boolean(aligned.spf.result), Boolean(aligned.dkim.result),
    ];
};
Promise.all(cases.map(judge)).then(all => process.stdout.write(JSON.stringify(all)));
"""
