"""OpenDKIM's own test mode: its filter reads messages from files, with keys from a file and without DNS, root or socket."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.peers import debian
from tests.peers.debian import NotHere

_RESULT = re.compile(r"\tdkim=(\w+)")
_INSERTED = re.compile(r"### INSHEADER: idx=\d+ hname='DKIM-Signature' hvalue='([^']*)'")


class OpenDkim:
    """Verifies and signs messages in files below folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree = debian.fetch("opendkim", "opendkim", "opendkim-tools")

    def verify(self, records: Mapping[str, bytes], messages: Sequence[bytes]) -> list[list[str]]:
        """The results of each message's signatures, as its Authentication-Results field gives them.

        records: the TXT value of each name of a key.
        """
        keys = self._folder / "keys"
        keys.write_text("".join(f"{name} {value.decode()}\n" for name, value in records.items()))
        output = self._run(["Mode v", f"TestPublicKeys {keys}"], messages)
        return [_RESULT.findall(part) for part in output]

    def sign(self, domain: str, selector: str, algorithm: str, private: bytes, form: str, messages: Sequence[bytes]) -> list[bytes]:
        """The DKIM-Signature field of each message, with CRLF. private: PEM. form: as c= says it. algorithm: as a= says it."""
        key = self._folder / f"{selector}.pem"
        key.write_bytes(private)
        key.chmod(0o600)
        (self._folder / "signing").write_text("* key\n")  # whoever stands in From
        (self._folder / "table").write_text(f"key {domain}:{selector}:{key}\n")
        tables = [f"SigningTable refile:{self._folder}/signing", f"KeyTable {self._folder}/table"]
        settings = ["Mode s", *tables, f"SignatureAlgorithm {algorithm}"]
        output = self._run([*settings, f"Canonicalization {form}", "InternalHosts 0.0.0.0/0"], messages)
        fields = []
        for part in output:
            found = _INSERTED.search(part)
            if found is None:
                raise AssertionError(f"opendkim did not sign: {part[-500:]}")
            fields.append(b"DKIM-Signature: " + found[1].encode().replace(b"\n", b"\r\n") + b"\r\n")
        return fields

    def _run(self, settings: Sequence[str], messages: Sequence[bytes]) -> list[str]:
        """What the filter does with each message, in its own words."""
        configuration = self._folder / "opendkim.conf"
        configuration.write_text("\n".join([*settings, "Syslog no", "RequireSafeKeys no", ""]))
        found = []
        for number, message in enumerate(messages):
            file = self._folder / f"{number}.eml"
            file.write_bytes(message)
            done = subprocess.run(
                [self._tree.program("opendkim"), "-x", configuration, "-vv", "-t", file],
                env=self._tree.environment(), capture_output=True, timeout=30, check=False,
            )  # fmt: skip
            if b"INSHEADER" not in done.stdout and done.returncode not in (0, 1):
                raise NotHere(f"opendkim: {done.stderr.decode('utf-8', 'replace')[-300:]}")
            found.append(done.stdout.decode("utf-8", "replace"))
        return found
