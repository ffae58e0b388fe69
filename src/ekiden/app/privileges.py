"""Becoming an ordinary user for good, and the data directory his before that.

Source: reliability.md §5.1.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ekiden.base.errors import ConfigError

_PR_SET_NO_NEW_PRIVS = 38  # of <linux/prctl.h>


@contextmanager
def acting_as(user: str | None, data: Path) -> Iterator[None]:
    """As root: make the data directory the user's and do what is done there as that user, so that nothing of root's is left in it.

    As anybody else, or where no user is configured, this does nothing. Raises ConfigError.
    """
    if user is None or os.geteuid() != 0:
        yield
        return
    uid, gid = _ids(user)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        hand_over(data, uid, gid)
    except OSError as error:
        raise ConfigError([f"data_dir: {error.filename or data}: {error.strerror}"]) from error
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def hand_over(folder: Path, uid: int, gid: int) -> None:
    """Give a folder of root's with all in it to a user. What is another's already is let alone: he may have put links into it."""
    if folder.lstat().st_uid != 0:
        return
    for _, folders, files, fd in os.fwalk(folder):  # which follows no links
        for name in [*folders, *files]:
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
    os.chown(folder, uid, gid, follow_symlinks=False)  # last: until then nobody else can come in


def drop_privileges(user: str) -> None:
    """Become this system user for good, in this process and in all that it starts. Raises ConfigError if it cannot or could go back."""
    uid, gid = _ids(user)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise ConfigError([f"user: no_new_privs cannot be set: {os.strerror(ctypes.get_errno())}"])
    if os.getgroups() or {*os.getresuid(), *os.getresgid()} != {uid, gid}:
        raise ConfigError([f"user: something of the former user was left after becoming {user}"])
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise ConfigError([f"user: root could be had back after becoming {user}"])


def _ids(user: str) -> tuple[int, int]:
    import pwd  # only on systems that have users, and only as root

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError([f"user: there is no system user {user}"]) from None
    if entry.pw_uid == 0:
        raise ConfigError([f"user: {user} is root itself"])
    return entry.pw_uid, entry.pw_gid
