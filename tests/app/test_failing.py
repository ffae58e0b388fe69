"""What happens at an armed failpoint."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import apsw
import pytest

from ekiden.app import failing
from ekiden.base import failpoints
from ekiden.base.errors import ConfigError, StorageFull, StoreError


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failing.arm({})


@pytest.mark.parametrize(
    ("name", "action", "error"),
    [
        ("K5", "eio", StoreError),
        ("K5", "enospc", StorageFull),
        ("K8", "eio", apsw.IOError),
        ("K8", "enospc", apsw.FullError),
        ("K5", "raise", RuntimeError),
    ],
)
def test_an_action_raises_what_the_code_there_would_meet(name: str, action: str, error: type[Exception]) -> None:
    failing.arm({"EKIDEN_FAILPOINT": f"{name}:1:{action}"})
    with pytest.raises(error):
        failpoints.hit(name)
    failpoints.hit(name)  # once only


def test_kill_ends_the_process_at_once() -> None:
    script = "from ekiden.app import failing\ntry:\n    failing.act('K1', 'kill')\nfinally:\n    print('alive')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (-9, b"")


def test_stop_lets_nobody_take_another_step_until_somebody_says_so() -> None:
    script = (
        "import threading\nfrom ekiden.app import failing\n"
        "def go():\n    print('before', flush=True)\n    failing.act('K1', 'stop')\n    print('after', flush=True)\n"
        "thread = threading.Thread(target=go)\nthread.start()\nthread.join()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"before\n"
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        assert select.select([process.stdout], [], [], 0) == ([], [], [])
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == b"after\n"
        assert process.wait(20) == 0
        process.stdout.close()
    finally:
        process.kill()


def test_a_pause_ends() -> None:
    failing.act("K1", "sleep:0.001")


def test_nothing_is_armed_without_the_variable_and_nonsense_is_told() -> None:
    failing.arm({})
    assert not failpoints.armed
    with pytest.raises(ConfigError, match="EKIDEN_FAILPOINT"):
        failing.arm({"EKIDEN_FAILPOINT": "K99:1:kill"})
