"""The server of a directory is found by its lock, and signalled by a descriptor that can be no other process's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ekiden.app.data_dir import lock_data_dir
from ekiden.app.running import NobodyServes, running_on

_HOLDS = """
import sys, time
from pathlib import Path
from ekiden.app.data_dir import lock_data_dir
lock_data_dir(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_process_that_holds_the_directory_is_found_and_its_end_is_seen(tmp_path: Path) -> None:
    with pytest.raises(NobodyServes), running_on(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", _HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with running_on(tmp_path) as found:
            assert found.pid == holder.pid
            assert not found.has_ended()
            assert not found.wait_for(lambda: False, 0.2)
            found.signal(signal.SIGTERM)
            assert found.has_ended(20)
            assert holder.wait(20) == -signal.SIGTERM
            with pytest.raises(NobodyServes):
                found.signal(signal.SIGTERM)
            assert not found.wait_for(lambda: False, 20)
    with pytest.raises(NobodyServes), running_on(tmp_path):
        pass


def test_a_lock_that_names_nobody_is_nobody(tmp_path: Path) -> None:
    held = lock_data_dir(tmp_path)
    os.ftruncate(held, 0)
    with pytest.raises(NobodyServes), running_on(tmp_path):
        pass
    os.close(held)
