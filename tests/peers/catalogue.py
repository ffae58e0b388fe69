"""All foreign peers by name: the packages each is unpacked from, what else it needs, and whether it can run here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.peers import debian, mailauth
from tests.peers.cgroups import control_groups
from tests.peers.debian import NotHere, Tree
from tests.peers.namespace import private_mounts


@dataclass(frozen=True, slots=True)
class Peer:
    """packages: none for what Python itself brings. needs: a check that gives the reason why it cannot run, or None."""

    packages: tuple[str, ...] = ()
    needs: Callable[[], str | None] = lambda: None


def root() -> str | None:
    """None if we may become other users, else the reason why not."""
    return "needs root" if os.geteuid() != 0 else None


@cache
def network_namespaces() -> str | None:
    """None if we may make network namespaces, else the reason why not."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("ip") is None:
        return "needs iproute2"
    if subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode != 0:
        return "needs network namespaces"
    return None


def strace() -> Path:
    """The program: this system's, or one that is fetched. Raises NotHere."""
    here = shutil.which("strace")
    return Path(here) if here is not None else debian.fetch("strace", "strace").program("strace")


def faketime() -> Path:
    """The library that tells a program another time of day. Raises NotHere."""
    found = debian.fetch("faketime", "libfaketime").root / "usr/lib" / debian.multiarch() / "faketime" / "libfaketime.so.1"
    if not found.exists():
        raise NotHere("libfaketime is not in the package that was unpacked")
    return found


@cache
def tracing() -> str | None:
    """None if we may let system calls of our own children fail, else the reason why not."""
    try:
        tried = subprocess.run([strace(), "-f", "-e", "inject=chdir:error=EIO", "true"], capture_output=True, check=False)
    except NotHere as reason:
        return str(reason)
    return None if tried.returncode == 0 else "needs the right to trace processes"


def from_npm() -> str | None:
    """None if mailauth is here, else the reason why not."""
    try:
        mailauth.fetch()
    except NotHere as reason:
        return str(reason)
    return None


_MUTT = "libsasl2-modules"
PEERS = {
    "postfix": Peer(("postfix",), private_mounts),
    "postfix-tools": Peer(("postfix",)),  # smtp-source and smtp-sink run as anybody
    "dovecot": Peer(("dovecot-core", "dovecot-imapd", "dovecot-pop3d"), private_mounts),
    "swaks": Peer(("swaks", "libnet-ssleay-perl", "libnet-dns-perl", "libauthen-sasl-perl", "libio-socket-ssl-perl")),
    "msmtp": Peer(("msmtp",)),
    "mbsync": Peer(("isync", "libsasl2-modules")),
    "mutt": Peer(("mutt", _MUTT)),
    "neomutt": Peer(("neomutt", _MUTT)),
    "fetchmail": Peer(("fetchmail",)),
    "curl": Peer(("curl",)),
    "opendkim": Peer(("opendkim", "opendkim-tools")),
    "milters": Peer(("opendkim", "opendmarc", "dbconfig-no-thanks", "publicsuffix"), private_mounts),
    "knot": Peer(("knot",)),
    "dnsmasq": Peer(("dnsmasq-base",)),
    "unbound": Peer(("unbound",)),
    "rbldnsd": Peer(("rbldnsd",)),
    "faketime": Peer(("libfaketime",)),
    "promtool": Peer(("prometheus",)),
    "publicsuffix": Peer(("publicsuffix",)),
    "libopendmarc": Peer(("libopendmarc2",)),
    "mailauth": Peer(needs=from_npm),  # for what runs at night only: not every machine has npm
    "smtplib": Peer(),
    "imaplib": Peer(),
    "poplib": Peer(),
    "root": Peer(needs=root),
    "systemd-analyze": Peer(needs=lambda: None if shutil.which("systemd-analyze") else "needs systemd-analyze"),
    "netns": Peer(needs=network_namespaces),
    "mounts": Peer(needs=private_mounts),
    "cgroups": Peer(needs=control_groups),
    "strace": Peer(needs=tracing),
    "ext4": Peer(needs=lambda: None if shutil.which("mkfs.ext4") and Path("/dev/loop-control").exists() else "needs ext4 on a loop device"),
}


def tree(name: str) -> Tree:
    """The unpacked files of a peer. Raises NotHere with the reason."""
    reason = PEERS[name].needs()
    if reason is not None:
        raise NotHere(reason)
    return debian.fetch(name, *PEERS[name].packages)


@cache
def missing(name: str) -> str | None:
    """None if the peer can run on this machine (it is fetched now if need be), else the reason why not."""
    if name not in PEERS:
        raise KeyError(f"no peer is called {name!r}; there are {', '.join(PEERS)}")
    try:
        if PEERS[name].packages:
            tree(name)
            return None
        return PEERS[name].needs()
    except NotHere as reason:
        return str(reason)
