"""Processes that never come up: the supervisor says why, tries ever more slowly, and the doors of the others stay open.

Source: reliability.md §3 (F-54, F-58).
"""

from __future__ import annotations

import datetime
import http.client
import json
import re
import smtplib
import threading
from pathlib import Path

import pytest
from tests.app.serving import Serving
from tests.peers.process import until
from tests.store.stores import in_one

from ekiden.store import mailboxes
from ekiden.store.accounts import account_named
from ekiden.store.database import Tx

_PICKY = """from pathlib import Path

from ekiden.policy.stage import SenderContext, sender
from ekiden.policy.verdict import Verdict

if Path(__file__).with_name("broken").exists() and b'"name": "door-2"' in Path("/proc/self/environ").read_bytes():
    raise LookupError("something is missing here")


@sender
async def judge(ctx: SenderContext) -> Verdict | None:
    return None
"""


def _messages(tx: Tx) -> int:
    alice = account_named(tx, "alice")
    found = mailboxes.named(tx, alice.id, "INBOX") if alice is not None else None
    return found.messages if found is not None else -1


def _mail(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")


def _failures(log: str, name: str) -> list[float]:
    """When a process failed, in seconds."""
    found = re.findall(rf"at='([^']+)' level='error' event='worker-failed' process='{name}'", log)
    return [datetime.datetime.fromisoformat(at).timestamp() for at in found]


def _get(server: Serving, path: str) -> tuple[int, str]:
    port = re.findall(r"event='metrics-served' endpoint='127\.0\.0\.1:(\d+)'", server.log())[-1]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_one_that_breaks_at_its_start_keeps_nobody_from_the_healthy_doors(tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(_PICKY)
    (tmp_path / "broken").touch()
    server = Serving(tmp_path, 'processes = 2\npolicies = ["picky.py:judge"]')
    server.start()
    try:
        until(lambda: "event='doors-shut' process='door-2'" in server.log(), "its sockets are shut", 60)
        for _ in range(8):
            _mail(server.port)
        until(lambda: len(_failures(server.log(), "door-2")) >= 3, "it is tried again and again", 60)
        first, second, third = _failures(server.log(), "door-2")[:3]
        assert third - second > 0.5
        assert second > first
        assert "LookupError: something is missing here" in server.log()
        status, ready = _get(server, "/ready")
        assert (status, json.loads(ready)["reasons"]) == (503, ["starting"])
        assert _get(server, "/health")[0] == 200
        deaths = re.search(r"^ekiden_worker_deaths_total (\S+)", _get(server, "/metrics")[1], re.MULTILINE)
        assert deaths is not None
        assert float(deaths[1]) >= 3
        assert _failures(server.log(), "door-1") == []
        (tmp_path / "broken").unlink()
        until(lambda: "event='doors-open-again' process='door-2'" in server.log(), "it comes up by itself", 60)
        until(lambda: _get(server, "/ready")[0] == 200, "the server is ready", 60)
        for _ in range(8):
            _mail(server.port)
        assert server.stop() == 0, server.log()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
    assert in_one(tmp_path / "data", _messages) == 16


@pytest.mark.parametrize("processes", [1, 2])
def test_a_database_that_cannot_be_opened_is_named_and_a_supervisor_waits_for_it(tmp_path: Path, processes: int) -> None:
    server = Serving(tmp_path, f"processes = {processes}")
    database = tmp_path / "data" / "ekiden.db"
    database.rename(tmp_path / "kept.db")
    database.mkdir()
    starting = threading.Thread(target=lambda: _start(server))
    starting.start()
    try:
        if processes == 1:
            starting.join(30)
            assert server.process is not None
            assert server.process.wait(30) == 1  # for who restarts it
            assert str(database) in server.log()
            assert "Traceback" not in server.log()
            return
        until(lambda: server.log().count("event='doors-shut'") == 2, "all doors are shut", 60)
        assert re.search(rf"event='worker-failed' process='delivery' .*{re.escape(str(database))}", server.log())
        database.rmdir()
        (tmp_path / "kept.db").rename(database)
        starting.join(30)
        _mail(server.port)
        assert server.stop() == 0, server.log()
        assert in_one(tmp_path / "data", _messages) == 1
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


def _start(server: Serving) -> None:
    try:
        server.start()
    except RuntimeError:
        return  # no banner: what is expected of one that is alone
