"""OpenDKIM and OpenDMARC as the filters of a Postfix, in a private view of the file system: what that pair says of a message.

OpenDMARC asks the name server of the view's resolv.conf, also for the SPF check that it makes itself. OpenDKIM gets its keys in a file,
because the resolver in it answers for .test on its own, and the list of public suffixes is ours, because .test is not on the real one.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.peers import catalogue
from tests.peers.namespace import View
from tests.peers.network import listens
from tests.peers.process import Daemon

_DKIM = """\
Socket inet:{port}@127.0.0.1
Mode sv
Domain {domain}
Selector {selector}
KeyFile /etc/milters/key.pem
RequireSafeKeys no
InternalHosts 127.0.0.1
AuthservID {authserv_id}
AlwaysAddARHeader yes
Canonicalization relaxed/relaxed
TestPublicKeys /etc/milters/keys
Syslog no
Background no
"""
_DMARC = """\
Socket inet:{port}@127.0.0.1
AuthservID {authserv_id}
TrustedAuthservIDs {authserv_id}
RejectFailures true
SPFSelfValidate true
SPFIgnoreResults true
PublicSuffixList /etc/milters/suffixes
Syslog false
Background false
"""
_RESULT = re.compile(rb";\s*(dkim|spf|dmarc)=(\w+)")


class Milters:
    """The pair, on two ports of loopback. It signs what comes from this machine for domain, and judges the rest.

    key: PEM. keys: the records of public keys, by name.
    """

    def __init__(
        self, directory: Path, *, ports: tuple[int, int], authserv_id: str, domain: str, selector: str, key: bytes, dns: str, network: str,
        keys: Mapping[str, bytes],
    ) -> None:
        tree = catalogue.tree("milters")
        self.versions = {name: tree.versions[name] for name in ("opendkim", "opendmarc")}
        view = View(tree, directory / "view", network=network)
        etc = view.directory / "etc"
        (etc / "milters").mkdir(parents=True)
        (etc / "resolv.conf").write_text(f"nameserver {dns}\n")
        (etc / "milters" / "key.pem").write_bytes(key)
        (etc / "milters" / "key.pem").chmod(0o600)
        (etc / "milters" / "keys").write_text("".join(f"{name} {value.decode()}\n" for name, value in keys.items()))
        (etc / "milters" / "suffixes").write_text("test\n")
        given = {"authserv_id": authserv_id, "domain": domain, "selector": selector}
        (etc / "milters" / "opendkim.conf").write_text(_DKIM.format(port=ports[0], **given))
        (etc / "milters" / "opendmarc.conf").write_text(_DMARC.format(port=ports[1], **given))
        self._daemons: list[Daemon] = []
        for name, option, port in (("opendkim", "-x", ports[0]), ("opendmarc", "-c", ports[1])):
            words = view.command(name, "-f", option, f"/etc/milters/{name}.conf")
            daemon = Daemon(name, words, log=directory / f"{name}.log")
            self._daemons.append(daemon)
            daemon.wait_for(lambda port=port: listens(network, "127.0.0.1", port), f"{name} listens")  # type: ignore[misc]
        self.settings = {
            "smtpd_milters": f"inet:127.0.0.1:{ports[0]}, inet:127.0.0.1:{ports[1]}",
            "non_smtpd_milters": f"inet:127.0.0.1:{ports[0]}",
            "milter_default_action": "tempfail",
            "milter_protocol": "6",
        }

    def stop(self) -> None:
        """End both; what holds their view of the file system hears no SIGTERM, and takes all its processes along."""
        for daemon in self._daemons:
            daemon.stop(signal.SIGKILL)


def results(message: bytes, authserv_id: str) -> dict[str, set[str]]:
    """What the Authentication-Results fields of one server say, by method."""
    head = re.sub(rb"\r?\n[ \t]+", b" ", message.replace(b"\r\n", b"\n").partition(b"\n\n")[0])
    found: dict[str, set[str]] = {}
    for line in head.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"authentication-results" and value.strip().lower().startswith(authserv_id.encode()):
            for method, result in _RESULT.findall(value):
                found.setdefault(method.decode(), set()).add(result.decode())
    return found
