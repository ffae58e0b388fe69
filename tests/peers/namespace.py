"""A private view of the file system for programs with fixed paths and users of their own.

A peer such as Postfix wants /usr/lib/postfix, /etc/postfix and the user "postfix". `View` lays its unpacked tree over
/usr and /etc, with a passwd and a group file that know its users, inside a mount and process namespace that ends with
the program: the system never sees any of it. Needs root (and a kernel that allows it): otherwise NotHere.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.peers.debian import NotHere, Tree
from tests.peers.network import entered

_FIRST_UID = 7_720  # far from those of real users and packages


@dataclass(slots=True)
class View:
    """How the peer sees the world: its tree over /usr and /etc, `users` added, `folders` bound to writable places."""

    tree: Tree
    directory: Path  # ours, for the pieces that are laid over
    users: Sequence[str] = ()  # each gets a group of the same name
    groups: Sequence[str] = ()
    folders: dict[str, Path] = field(default_factory=dict)  # "/var/spool/postfix" → where it really lies
    network: str | None = None  # the path of a network namespace to run in (see network.py)

    def __post_init__(self) -> None:
        reason = private_mounts()
        if reason is not None:
            raise NotHere(reason)
        etc = self.directory / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        (self.directory / "tmp").mkdir(exist_ok=True)
        names = [*self.users, *self.groups]
        passwd = [f"{user}:x:{self.uid(user)}:{self.uid(user)}::/nonexistent:/usr/sbin/nologin" for user in self.users]
        group = [f"{name}:x:{_FIRST_UID + names.index(name)}:" for name in names]
        for file, lines in (("passwd", passwd), ("group", group)):
            (etc / file).write_text(Path("/etc", file).read_text().rstrip("\n") + "\n" + "\n".join(lines) + "\n")
        script = [
            "set -e",
            "mount --make-rprivate /",
            f"mount -t overlay overlay -o ro,lowerdir={self.tree.root}/usr:/usr /usr",
            f"mount -t overlay overlay -o ro,lowerdir={etc}:{self.tree.root}/etc:/etc /etc",
        ]
        mounted: set[str] = set()
        for where, real in self.folders.items():
            base = "/" + where.split("/")[1]
            if base not in mounted and not Path(where).is_dir():  # the system lacks this mount point: lay one over
                for wanted in self.folders:
                    (self.directory / "over" / wanted.lstrip("/")).mkdir(parents=True, exist_ok=True)
                script.append(f"mount -t overlay overlay -o ro,lowerdir={self.directory}/over{base}:{base} {base}")
                mounted.add(base)
            script.append(f"mount --bind {shlex.quote(str(real))} {where}")
        script.append('exec "$@"')
        (self.directory / "launch.sh").write_text("\n".join(script) + "\n")

    def uid(self, name: str) -> int:
        """The number of one of its users or groups."""
        return _FIRST_UID + [*self.users, *self.groups].index(name)

    def command(self, *words: str | os.PathLike[str], alone: bool = True) -> list[str]:
        """The command line that runs `words` in this view; alone: in a process namespace whose end kills all in it."""
        pids = ["--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"] if alone else []
        return [
            *entered(self.network),
            "unshare",
            "--mount",
            *pids,
            "sh",
            str(self.directory / "launch.sh"),
            *(os.fspath(w) for w in words),
        ]


@cache
def private_mounts() -> str | None:
    """None if we may lay files over the system's in a namespace of our own, else the reason why not."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("unshare") is None:
        return "needs unshare"
    tried = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "sh",
            "-c",
            "mount --make-rprivate / && mount -t overlay overlay -o ro,lowerdir=/etc:/usr /etc",
        ],
        capture_output=True,
        check=False,
    )
    if tried.returncode != 0:
        return "needs a private mount namespace: " + tried.stderr.decode("utf-8", "replace").strip().splitlines()[-1]
    return None
