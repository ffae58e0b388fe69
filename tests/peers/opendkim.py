"""OpenDKIM's own test mode: its filter reads messages from files, with keys from a file and without DNS, root or socket."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.peers import debian
from tests.peers.debian import NotHere

_RESULT = re.compile(r"\tdkim=(\w+)")
_SIGNED = re.compile(r"### INSHEADER: idx=\d+ hname='DKIM-Signature' hvalue='([^']*)'")
_JUDGED = re.compile(r"### INSHEADER: idx=\d+ hname='Authentication-Results' hvalue='([^']*)'")


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
        said = self._run(["Mode v", f"TestPublicKeys {keys}"], messages)
        return [_RESULT.findall(each) for each in self._one_each(_JUDGED, said, messages)]

    def sign(self, domain: str, selector: str, algorithm: str, private: bytes, form: str, messages: Sequence[bytes]) -> list[bytes]:
        """The DKIM-Signature field of each message, with CRLF. private: PEM. form: as c= says it. algorithm: as a= says it."""
        key = self._folder / f"{selector}.pem"
        key.write_bytes(private)
        key.chmod(0o600)
        (self._folder / "signing").write_text("* key\n")  # whoever stands in From
        (self._folder / "table").write_text(f"key {domain}:{selector}:{key}\n")
        tables = [f"SigningTable refile:{self._folder}/signing", f"KeyTable {self._folder}/table"]
        settings = ["Mode s", *tables, f"SignatureAlgorithm {algorithm}"]
        said = self._run([*settings, f"Canonicalization {form}", "InternalHosts 0.0.0.0/0"], messages)
        values = self._one_each(_SIGNED, said, messages)
        return [b"DKIM-Signature: " + value.encode().replace(b"\n", b"\r\n") + b"\r\n" for value in values]

    @staticmethod
    def _one_each(pattern: re.Pattern[str], said: str, messages: Sequence[bytes]) -> list[str]:
        found = pattern.findall(said)
        if len(found) != len(messages):
            raise AssertionError(f"opendkim did {len(found)} of {len(messages)} messages: {said[-500:]}")
        return found

    def _run(self, settings: Sequence[str], messages: Sequence[bytes]) -> str:
        """What the filter says of all the messages, one after another, in its own words."""
        configuration = self._folder / "opendkim.conf"
        configuration.write_text("\n".join([*settings, "Syslog no", "RequireSafeKeys no", ""]))
        files = [self._folder / f"{number}.eml" for number in range(len(messages))]
        for file, message in zip(files, messages, strict=True):
            file.write_bytes(message)
        done = subprocess.run(
            [self._tree.program("opendkim"), "-x", configuration, "-vv", "-t", ",".join(map(str, files))],
            env=self._tree.environment(), capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        if b"INSHEADER" not in done.stdout and done.returncode not in (0, 1):
            raise NotHere(f"opendkim: {done.stderr.decode('utf-8', 'replace')[-300:]}")
        return done.stdout.decode("utf-8", "replace")
