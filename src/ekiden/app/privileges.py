"""Becoming an ordinary user for good.

Source: reliability.md §5.1.
"""

from __future__ import annotations

import ctypes
import os
import sys

from ekiden.base.errors import ConfigError

_PR_SET_NO_NEW_PRIVS = 38  # of <linux/prctl.h>


def drop_privileges(user: str) -> None:
    """Become this system user for good, in this process and in all that it starts. Raises ConfigError if it cannot or could go back."""
    import pwd  # only on systems that have users, and only as root

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError([f"user: there is no system user {user}"]) from None
    if entry.pw_uid == 0:
        raise ConfigError([f"user: {user} is root itself"])
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise ConfigError([f"user: no_new_privs cannot be set: {os.strerror(ctypes.get_errno())}"])
    if os.getgroups() or {*os.getresuid(), *os.getresgid()} != {entry.pw_uid, entry.pw_gid}:
        raise ConfigError([f"user: something of the former user was left after becoming {user}"])
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise ConfigError([f"user: root could be had back after becoming {user}"])
