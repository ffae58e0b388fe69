"""Mail clients of other projects, each driven as its users drive it, without a terminal where it allows that.

Each takes a Door (where the server listens and how that connection is secured) and proves the server's certificate
against the test's own authority, so that TLS is real. All raise AssertionError with what the program said if it fails.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers import catalogue
from tests.peers.process import run


@dataclass(frozen=True, slots=True)
class Door:
    """One listening port. secured: "no", "starttls" or "tls" (from the first byte)."""

    port: int
    secured: str
    authority: Path  # PEM file of the certificate to trust
    host: str = "localhost"  # the name in the certificate: some of them know no addresses there


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs in."""

    user: str
    password: str


def swaks(
    door: Door,
    *,
    sender: str,
    to: Sequence[str],
    message: bytes,
    login: Login | None = None,
    mechanism: str = "PLAIN",
    more: Sequence[str] = (),
    status: int = 0,
) -> str:
    """Send with swaks; its transcript, lines marked <-, ->, <~ and ~> as it prints them.

    swaks writes the message with CRLF and stuffs dots itself. status: what it must end with (24 after a refused RCPT).
    """
    tree = catalogue.tree("swaks")
    words = [
        "perl",
        str(tree.program("swaks")),
        "--server",
        door.host,
        "--port",
        str(door.port),
        "--ehlo",
        "swaks.test",
        "--from",
        sender,
        "--to",
        ",".join(to),
        "--data",
        "-",
        *more,
    ]
    if door.secured != "no":
        words += ["--tls" if door.secured == "starttls" else "--tlsc", "--tls-verify", "--tls-ca-path", str(door.authority)]
    if login is not None:
        words += ["--auth", mechanism, "--auth-user", login.user, "--auth-password", login.password]
    content = message.removesuffix(b"\r\n").replace(b"\r\n", b"\n")  # swaks ends the last line itself
    done = run(words, env=tree.environment(), input=content, status=status)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def msmtp(folder: Path, door: Door, *, sender: str, to: Sequence[str], message: bytes, login: Login | None = None, status: int = 0) -> str:
    """Send with msmtp, from a configuration file; what it said with --debug."""
    tree = catalogue.tree("msmtp")
    lines = [
        "defaults",
        "timeout 30",
        f"logfile {folder}/msmtp.log",
        "account ekiden",
        f"host {door.host}",
        f"port {door.port}",
        f"from {sender}",
    ]
    lines += {"no": ["tls off"], "starttls": ["tls on", "tls_starttls on"], "tls": ["tls on", "tls_starttls off"]}[door.secured]
    if door.secured != "no":
        lines.append(f"tls_trust_file {door.authority}")
    if login is not None:
        lines += ["auth plain", f"user {login.user}", f'password "{login.password}"']
    conf = _private(folder / "msmtprc", lines)
    done = run(
        [tree.program("msmtp"), "-C", conf, "-a", "ekiden", "--debug", "--", *to],
        env=tree.environment(),
        input=message.replace(b"\r\n", b"\n"),
        status=status,
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def mbsync(folder: Path, door: Door, login: Login, *, boxes: Sequence[str] = ("*",)) -> Path:
    """Synchronise the account both ways with Maildirs below the path given back ("INBOX", others by their name)."""
    tree = catalogue.tree("mbsync")
    mail = folder / "mail"
    mail.mkdir(parents=True, exist_ok=True)
    conf = _private(
        folder / "mbsyncrc",
        [
            "IMAPAccount ekiden",
            f"Host {door.host}",
            f"Port {door.port}",
            f"User {login.user}",
            f'Pass "{login.password}"',
            "SSLType " + {"no": "None", "starttls": "STARTTLS", "tls": "IMAPS"}[door.secured],
            f"CertificateFile {door.authority}",
            "",
            "IMAPStore far",
            "Account ekiden",
            "",
            "MaildirStore near",
            f"Path {mail}/",
            f"Inbox {mail}/INBOX",
            "SubFolders Verbatim",
            "",
            "Channel all",
            "Far :far:",
            "Near :near:",
            "Patterns " + " ".join(boxes),
            "Create Near",
            "Sync All",
            "Expunge Both",
            f"SyncState {folder}/state-",
            "",
        ],
    )
    run([tree.program("mbsync"), "-c", conf, "-V", "all"], env={**tree.environment(), "HOME": str(folder)})
    return mail


def maildir(folder: Path) -> list[bytes]:
    """The messages of one Maildir, oldest first by name, without the X-TUID field that mbsync adds to what it copies."""
    return [
        re.sub(rb"(?m)^X-TUID: .*\n", b"", file.read_bytes(), count=1)
        for sub in ("cur", "new")
        for file in sorted((folder / sub).glob("*"))
    ]


def fetchmail(folder: Path, door: Door, login: Login, *, protocol: str = "POP3", keep: bool = False) -> list[bytes]:
    """Fetch all mail; what its delivery program was given, one file a message."""
    tree = catalogue.tree("fetchmail")
    out = folder / "fetched"
    out.mkdir(parents=True, exist_ok=True)
    deliver = folder / "deliver.sh"
    deliver.write_text(f"#!/bin/sh\nn=$(ls {out} | wc -l)\ncat >{out}/$(printf %05d $n)\n")
    deliver.chmod(0o700)
    tls = {"no": "sslproto ''", "starttls": "sslproto 'TLS1.2+'", "tls": "ssl"}[door.secured]
    conf = _private(
        folder / "fetchmailrc",
        [
            f"poll {door.host} service {door.port} protocol {protocol} timeout 30 auth password",
            f'user "{login.user}" password "{login.password}" '
            f'{tls} sslcertck sslcertfile {door.authority} {"keep" if keep else "nokeep"} fetchall mda "{deliver}"',
        ],
    )
    done = run(
        [tree.program("fetchmail"), "-f", conf, "-v", "--nosyslog", "--nodetach"],
        status=None,
        env={**tree.environment(), "FETCHMAILHOME": str(folder), "HOME": str(folder)},
    )
    if done.returncode not in (0, 1):  # 1: no mail
        raise AssertionError(f"fetchmail ended with {done.returncode}\n{(done.stdout + done.stderr).decode('utf-8', 'replace')[-6000:]}")
    return [file.read_bytes() for file in sorted(out.iterdir())]


def curl_send(door: Door, *, sender: str, to: Sequence[str], message: bytes, login: Login | None = None, status: int = 0) -> str:
    """Send with curl; its verbose transcript."""
    scheme = "smtps" if door.secured == "tls" else "smtp"
    words = [
        f"{scheme}://{door.host}:{door.port}/curl.test",
        "--mail-from",
        sender,
        *(word for one in to for word in ("--mail-rcpt", one)),
        "-T",
        "-",
    ]
    return _curl(door, words, login, message, status).stderr.decode("utf-8", "replace")


def curl_read(door: Door, protocol: str, path: str, login: Login, *, request: str | None = None) -> bytes:
    """Read an "imap" or "pop3" URL with curl, as it prints it; request: another command in place of the usual one."""
    scheme = protocol + ("s" if door.secured == "tls" else "")
    return _curl(door, [f"{scheme}://{door.host}:{door.port}/{path}", *(["-X", request] if request else [])], login, b"", 0).stdout


def curl_append(door: Door, box: str, message: bytes, login: Login) -> None:
    """Store a message in an IMAP mailbox with curl."""
    scheme = "imaps" if door.secured == "tls" else "imap"
    folder = box.replace(" ", "%20")
    file = door.authority.parent / f"append-{os.getpid()}-{time.monotonic_ns()}"
    file.write_bytes(message)  # IMAP needs the size first, so curl wants a file
    _curl(door, [f"{scheme}://{door.host}:{door.port}/{folder}", "-T", str(file)], login, b"", 0)
    file.unlink()


def _curl(door: Door, words: Sequence[str], login: Login | None, message: bytes, status: int) -> subprocess.CompletedProcess[bytes]:
    tree = catalogue.tree("curl")
    secured = [] if door.secured == "no" else ["--ssl-reqd", "--cacert", str(door.authority)]
    user = [] if login is None else ["-u", f"{login.user}:{login.password}"]
    env = {name: value for name, value in tree.environment().items() if not name.lower().endswith("_proxy")}
    return run([tree.program("curl"), "-sSv", "--max-time", "50", *secured, *user, *words], env=env, input=message, status=status)


def mutt_send(
    program: str,
    folder: Path,
    door: Door,
    *,
    sender: str,
    to: Sequence[str],
    subject: str,
    text: str,
    login: Login | None = None,
    attach: Sequence[Path] = (),
) -> None:
    """Write and send a message with mutt or neomutt in batch mode, which composes it itself (MIME, Message-ID, Date)."""
    tree = catalogue.tree(program)
    scheme = "smtps" if door.secured == "tls" else "smtp"
    conf = _private(
        folder / f"{program}-send",
        [
            *_MUTT_COMMON,
            f'set from="{sender}"',
            "set use_from=yes",
            "set use_envelope_from=yes",
            "set hostname=client.test",
            f'set certificate_file="{door.authority}"',
            "unset record",
            *(
                [
                    f'set smtp_url="{scheme}://{login.user}@{door.host}:{door.port}/"',
                    f'set smtp_pass="{login.password}"',
                    'set smtp_authenticators="plain"',
                ]
                if login
                else [f'set smtp_url="{scheme}://{door.host}:{door.port}/"']
            ),
            "set ssl_force_tls=" + ("no" if door.secured == "no" else "yes"),
        ],
    )
    attached = [word for file in attach for word in ("-a", str(file))] + (["--"] if attach else [])
    words = [str(tree.program(program)), "-n", "-F", str(conf), "-s", subject, *attached, *to]
    run(words, env={**tree.environment(), "HOME": str(folder)}, input=text.encode())


def mutt_read(program: str, folder: Path, door: Door, login: Login) -> bytes:
    """Open INBOX over IMAP with mutt or neomutt on a terminal, copy every message into an mbox file; that file."""
    tree = catalogue.tree(program)
    out = folder / f"{program}.mbox"
    scheme = "imaps" if door.secured == "tls" else "imap"
    conf = _private(
        folder / f"{program}-read",
        [
            *_MUTT_COMMON,
            f'set certificate_file="{door.authority}"',
            f'set imap_user="{login.user}"',
            f'set imap_pass="{login.password}"',
            'set imap_authenticators="plain:login"',
            f'set folder="{scheme}://{door.host}:{door.port}/"',
            f'set spoolfile="{scheme}://{door.host}:{door.port}/INBOX"',
            "set ssl_force_tls=" + ("no" if door.secured == "no" else "yes"),
            "set confirmappend=no",
            *([f'set dotlock_program="{tree.program("mutt_dotlock")}"'] if program == "mutt" else []),
            "set confirmcreate=no",
            "set wait_key=no",
            f'push "<tag-pattern>~A<enter><tag-prefix><copy-message>{out}<enter><quit>"',
        ],
    )
    env = {**tree.environment(), "HOME": str(folder), "TERM": "xterm", "LINES": "40", "COLUMNS": "120"}
    shown = _on_terminal([str(tree.program(program)), "-n", "-F", str(conf)], env, 40)
    if not out.exists():
        raise AssertionError(f"{program} copied nothing; its screen:\n{shown.decode('utf-8', 'replace')[-3000:]}")
    return out.read_bytes()


_MUTT_COMMON = [
    "set ssl_verify_host=yes",
    "set mbox_type=mbox",
    "set quit=yes",
    "set sort=mailbox-order",
    "set move=no",
    "set mark_old=no",
    "set charset=utf-8",
]


def _on_terminal(words: Sequence[str], env: dict[str, str], seconds: float) -> bytes:
    """Run a program on a pseudo terminal until it ends; all that it drew. AssertionError if it does not end in time."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(list(words), stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    drawn = bytearray()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # the terminal is gone with its last user
                    break
                drawn += piece
            elif process.poll() is not None:
                break
        else:
            process.kill()
            raise AssertionError(f"{words[0]} did not end within {seconds:g} s; its screen:\n{drawn.decode('utf-8', 'replace')[-3000:]}")
        process.wait(10)
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()
    return bytes(drawn)


def _private(path: Path, lines: Sequence[str]) -> Path:
    """A configuration file that only we may read, as these programs demand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path
