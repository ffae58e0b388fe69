"""Dovecot, from Debian's packages, in a private view of the file system: IMAP and POP3 for comparison."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.peers import catalogue
from tests.peers.namespace import View
from tests.peers.process import Daemon

_CONF = """\
base_dir = /run/dovecot-peer
state_dir = /var/lib/dovecot-peer
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = {ssl}
ssl_cert = </etc/dovecot-peer.pem
ssl_key = </etc/dovecot-peer.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
first_valid_uid = 100
mail_location = maildir:/srv/mail/%n
mail_uid = {uid}
mail_gid = {uid}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home=/srv/mail/home/%n
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
"""


class Dovecot:
    """One running Dovecot: any user, one password, a Maildir per user."""

    def __init__(
        self,
        directory: Path,
        *,
        imap: int,
        pop3: int,
        certificate: Path | None,
        imaps: int = 0,
        pop3s: int = 0,
        password: str = "secret",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.tree = catalogue.tree("dovecot")
        self.version = self.tree.versions["dovecot-core"]
        self.imap, self.imaps, self.pop3, self.pop3s, self.password = imap, imaps, pop3, pop3s, password
        self._mail, state, run_dir = (directory / name for name in ("mail", "state", "run"))
        for folder in (self._mail, state, run_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self.view = View(
            self.tree,
            directory / "view",
            users=["dovecot", "dovenull", "vmail"],
            folders={"/srv/mail": self._mail, "/var/lib/dovecot-peer": state, "/run/dovecot-peer": run_dir},
        )
        self._uid = self.view.uid("vmail")
        os.chown(self._mail, self._uid, self._uid)
        conf = _CONF.format(
            ssl="yes" if certificate else "no", uid=self._uid, password=password, imap=imap, imaps=imaps, pop3=pop3, pop3s=pop3s
        )
        conf += "".join(f"{name} = {value}\n" for name, value in (settings or {}).items())
        etc = self.view.directory / "etc"
        (etc / "dovecot-peer.conf").write_text(conf)
        (etc / "dovecot-peer.pem").write_bytes(certificate.read_bytes() if certificate else b"")
        self._daemon = Daemon("dovecot", self.view.command("dovecot", "-F", "-c", "/etc/dovecot-peer.conf"), log=directory / "dovecot.log")
        self._daemon.wait_port(imap)
        self._daemon.wait_port(pop3)
        self.log = self._daemon.log

    def put(self, user: str, message: bytes) -> None:
        """Lay one message (CRLF lines) into a user's INBOX; Maildir keeps it with bare line feeds."""
        folder = self._mail / user
        for sub in ("", "tmp", "new", "cur"):
            (folder / sub).mkdir(exist_ok=True)
            os.chown(folder / sub, self._uid, self._uid)
        number = len(list((folder / "new").iterdir())) + len(list((folder / "cur").iterdir())) + 1
        file = folder / "new" / f"17{number:08}.M{number}P1.peer"
        file.write_bytes(message.replace(b"\r\n", b"\n"))
        os.chown(file, self._uid, self._uid)

    def stop(self) -> None:
        """End it; its namespace takes all its processes along."""
        self._daemon.stop(signal.SIGKILL)
