"""Becoming an ordinary user: for good, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ekiden.app.privileges import drop_privileges
from ekiden.base.errors import ConfigError

_DROP = r"""
import os
from pathlib import Path
from ekiden.app.privileges import drop_privileges
os.setgroups([0, 1])
drop_privileges("nobody")
status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().split("\n") if ":\t" in line)
print(os.getresuid(), os.getresgid(), os.getgroups(), status["NoNewPrivs"], status["CapEff"])
for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        call()
    except PermissionError:
        continue
    raise SystemExit("root is back")
"""


def test_a_user_that_does_not_exist_is_no_user_to_become() -> None:
    with pytest.raises(ConfigError, match="no-such-user"):
        drop_privileges("no-such-user")


def test_root_is_no_user_to_become() -> None:
    with pytest.raises(ConfigError, match="root itself"):
        drop_privileges("root")


@pytest.mark.peer("root")
def test_what_root_had_is_gone_for_good() -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    done = subprocess.run([sys.executable, "-c", _DROP], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ids = f"({nobody.pw_uid}, {nobody.pw_uid}, {nobody.pw_uid}) ({nobody.pw_gid}, {nobody.pw_gid}, {nobody.pw_gid})"
    assert done.stdout == f"{ids} [] 1 {0:016x}\n"
    assert os.geteuid() == 0
