"""Postfix, from Debian's package, in a private view of the file system: sends to us and receives from us."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.peers import catalogue
from tests.peers.namespace import View
from tests.peers.network import listens
from tests.peers.process import Daemon, run

_MAIN = """\
compatibility_level = 3.6
maillog_file = /dev/stdout
mail_owner = postfix
setgid_group = postdrop
myhostname = {hostname}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = {host}
inet_protocols = ipv4
alias_maps =
local_transport = error:no local delivery here
virtual_mailbox_domains = {domains}
virtual_mailbox_base = /var/mail/peer
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_minimum_uid = 1
transport_maps = inline:{{ {transports} }}
default_transport = {default}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
message_size_limit = 60000000
virtual_mailbox_limit = 0
smtpd_tls_security_level = may
smtpd_tls_chain_files = /etc/postfix/peer.pem
smtp_tls_security_level = may
smtp_tls_loglevel = 1
maximal_backoff_time = 10s
minimal_backoff_time = 5s
queue_run_delay = 5s
bounce_queue_lifetime = 1h
"""


class Postfix:
    """One running Postfix.

    domains: what it takes mail for, into a Maildir per mailbox (`mailbox("bob@two.test")`).
    routes: domain → "host:port" where it sends that domain's mail; a domain of neither kind is refused.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        certificate: Path,
        domains: Sequence[str] = (),
        boxes: Sequence[str] = (),
        routes: Mapping[str, str] | None = None,
        hostname: str = "postfix.test",
        host: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
        network: str | None = None,
    ) -> None:
        self.tree = catalogue.tree("postfix")
        self.version = self.tree.versions["postfix"]
        self.port = port
        self.host = host
        self._spool, self._data, self._mail = (directory / name for name in ("spool", "data", "mail"))
        for folder in (self._spool, self._data, self._mail):
            folder.mkdir(parents=True, exist_ok=True)
        self.view = View(
            self.tree,
            directory / "view",
            users=["postfix", "vmail"],
            groups=["postdrop"],
            network=network,
            folders={"/var/spool/postfix": self._spool, "/var/lib/postfix": self._data, "/var/mail/peer": self._mail},
        )
        os.chown(self._data, self.view.uid("postfix"), self.view.uid("postfix"))
        os.chown(self._mail, self.view.uid("vmail"), self.view.uid("vmail"))
        routed = {domain: f"smtp:[{place.rsplit(':', 1)[0]}]:{place.rsplit(':', 1)[1]}" for domain, place in (routes or {}).items()}
        main = _MAIN.format(
            hostname=hostname,
            host=host,
            domains=" ".join(domains),
            uid=self.view.uid("vmail"),
            boxes=", ".join(f"{{ {box} = {box.replace('@', '_at_')}/ }}" for box in boxes) or "{ nobody@invalid = nobody/ }",
            transports=", ".join(f"{{ {domain} = {place} }}" for domain, place in routed.items()) or "{ invalid = error:invalid }",
            default=routed.get("*", "error:this test gave no route"),
        )
        main += "".join(f"{name} = {value}\n" for name, value in (settings or {}).items())
        conf = self.view.directory / "etc" / "postfix"
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "main.cf").write_text(main)
        (conf / "peer.pem").write_bytes(certificate.read_bytes())
        (conf / "master.cf").write_text(self._services())
        self._daemon = Daemon("postfix", self.view.command("postfix", "start-fg"), log=directory / "postfix.log")
        if network is None:
            self._daemon.wait_port(port)
        else:
            self._daemon.wait_for(lambda: listens(network, host, port), "postfix listens")
        self.log = self._daemon.log

    @property
    def pid(self) -> int:
        """The process that all of its processes descend from."""
        return self._daemon.process.pid

    def _services(self) -> str:
        """The list of its daemons as shipped, none in a chroot, smtpd on our port, log to standard output."""
        lines = []
        shipped = (self.tree.root / "usr/share/postfix/master.cf.dist").read_text()
        for line in shipped.splitlines():
            words = line.split()
            if line.startswith("#") or not words:
                continue
            if len(words) >= 8 and not line[0].isspace():
                if words[0] == "smtp" and words[1] == "inet":
                    words[0] = f"{self.host}:{self.port}"
                words[4] = "n"
                line = "\t".join(words)
            lines.append(line)
        if not any(line.startswith("postlog") for line in lines):
            lines.append("postlog unix-dgram n - n - 1 postlogd")
        return "\n".join(lines) + "\n"

    def sendmail(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """Hand a message to its sendmail command, as a local program would."""
        run(self.view.command("sendmail", "-i", "-f", sender, "--", *recipients), input=message)

    def queue(self) -> str:
        """What mailq prints."""
        return run(self.view.command("postqueue", "-p")).stdout.decode("utf-8", "replace")

    def mailbox(self, address: str) -> list[bytes]:
        """All messages that were delivered to an address, oldest first."""
        new = self._mail / address.replace("@", "_at_") / "new"
        return [file.read_bytes() for file in sorted(new.glob("*"), key=lambda f: f.stat().st_mtime_ns)]

    def count(self, address: str) -> int:
        """How many messages were delivered to an address."""
        new = self._mail / address.replace("@", "_at_") / "new"
        return sum(1 for _ in os.scandir(new)) if new.is_dir() else 0

    def log_text(self) -> str:
        """Its log so far."""
        return self.log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """End it; its namespace takes all its processes along."""
        self._daemon.stop(signal.SIGKILL)
