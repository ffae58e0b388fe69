"""EKIDEN_FAILPOINT: what happens at an armed failpoint. For tests of this program; no operator needs it.

Source: reliability.md §3.2.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

import apsw

from ekiden.base import failpoints
from ekiden.base.errors import BadValue, ConfigError, StorageFull, StoreError

VARIABLE = "EKIDEN_FAILPOINT"


def arm(environ: Mapping[str, str]) -> None:
    """Arm the point that the environment names, if it names one. Raises ConfigError for a name or an action that does not exist."""
    try:
        failpoints.arm(environ.get(VARIABLE, ""), act)
    except BadValue as error:
        raise ConfigError([f"{VARIABLE}: {error}"]) from error


def act(name: str, action: str) -> None:
    """kill: die at once, as by a power cut. stop: stand still, so that somebody else can choose who dies. sleep:SECONDS.

    eio, enospc: what a broken or a full disk looks like there. raise: a bug.
    """
    kind, _, seconds = action.partition(":")
    within = name in failpoints.IN_TRANSACTION
    match kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # to this thread: it does not get a step further than the others
        case "sleep":
            time.sleep(float(seconds))
        case "eio":
            raise apsw.IOError("a failpoint") if within else StoreError("a failpoint: input/output error")
        case "enospc":
            raise apsw.FullError("a failpoint") if within else StorageFull("a failpoint: no space left on device")
        case _:
            raise RuntimeError("a failpoint")
