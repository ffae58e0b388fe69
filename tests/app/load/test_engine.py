"""Loads on servers of three kinds: scripted, ours with TLS and sign-in, and Postfix's smtp-sink."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tests.app.load.scripted import scripted
from tests.app.serving import serving
from tests.peers import catalogue
from tests.peers.process import Daemon, free_port

from ekiden.app.load.engine import Load, LoadFailed, Plan, Result, auth_plain
from ekiden.app.load.talker import Manner
from ekiden.base.endpoint import Endpoint
from ekiden.net.tls import client_context


def _plan(endpoint: Endpoint, **more: Any) -> Plan:
    settings = {"messages": 20, "sessions": 3, "size": 600, **more}
    manner = settings.pop("manner", Manner("c.test"))
    return Plan(endpoint, manner, "run1", "a@x.test", ("b@x.test", "c@x.test"), **settings)


def _run(more: dict[str, Any], **replies: bytes) -> tuple[Result, Any]:
    async def main() -> tuple[Result, Any]:
        async with asyncio.timeout(60), scripted(**replies) as (script, endpoint):
            return await Load(_plan(endpoint, **more)).run(), script

    return asyncio.run(main())


def test_all_messages_arrive_marked_numbered_and_of_the_size_that_was_asked_for() -> None:
    result, script = _run({})
    assert (result.accepted, result.refused, result.lost, result.in_flight) == (20, 0, 0, 0)
    assert result.connect.count == 3
    assert (result.mail.count, result.dot.count, result.whole.count) == (20, 20, 20)
    assert all(b"\r\nEkiden-Bench: run1\r\n" in message for message in script.messages)
    numbers = sorted(int(re.findall(rb"Message-ID: <(\d+)\.run1@", message)[0]) for message in script.messages)
    assert numbers == list(range(20))
    assert {line for line in script.lines if line.startswith(b"RCPT")} == {b"RCPT TO:<b@x.test>", b"RCPT TO:<c@x.test>"}
    assert all(500 <= len(message) <= 603 for message in script.messages)


def test_a_connection_carries_so_many_messages_and_no_more() -> None:
    result, script = _run({"per_connection": 2, "messages": 20, "sessions": 4})
    assert result.accepted == 20
    assert result.connections == script.connections >= 10


def test_refusals_are_counted_by_their_codes() -> None:
    result, _ = _run({}, dot=b"452 full\r\n")
    assert (result.accepted, result.refused) == (0, 20)
    assert result.codes[452] == 20


def test_a_message_whose_connection_ends_is_lost_and_the_load_goes_on() -> None:
    result, script = _run({"messages": 8, "sessions": 2}, data=b"")
    assert (result.accepted, result.lost) == (0, 8)
    assert sum(result.troubles.values()) == 8
    assert script.connections >= 8


def test_it_ends_after_the_time_that_was_given() -> None:
    result, _ = _run({"messages": None, "seconds": 0.3})
    assert result.accepted > 3
    assert 0.25 < result.seconds < 10


def test_a_server_that_stands_still_is_charged_with_all_that_was_due() -> None:
    async def main() -> Result:
        async with asyncio.timeout(60), scripted() as (script, endpoint):
            script.stall = asyncio.Event()
            load = Load(_plan(endpoint, messages=100, rate=400.0, sessions=1))
            running = asyncio.get_running_loop().create_task(load.run())
            await script.stalled.wait()
            asyncio.get_running_loop().call_later(0.5, script.stall.set)
            return await running

    result = asyncio.run(main())
    assert result.accepted == 100
    assert result.whole.longest > 0.4
    assert result.whole.quantile(0.5) > 0.15  # not only the one that was under way: half of all had to wait
    assert result.latest_start_s > 0.4


def test_a_rate_is_kept() -> None:
    result, _ = _run({"messages": 60, "rate": 200.0, "sessions": 5})
    assert result.accepted == 60
    assert result.seconds > 0.25


def test_a_server_that_takes_no_connection_ends_the_load_with_the_reason() -> None:
    with pytest.raises(LoadFailed, match="refused"):
        asyncio.run(_refused())


async def _refused() -> None:
    await Load(_plan(Endpoint("127.0.0.1", free_port()), sessions=20)).run()


def test_a_server_that_turns_everybody_away_ends_it_too() -> None:
    with pytest.raises(LoadFailed, match="554 go away"):
        _run({"sessions": 20}, banner=b"554 go away\r\n")


def test_a_server_that_falls_silent_ends_it_too() -> None:
    async def main() -> None:
        async with asyncio.timeout(60), scripted() as (script, endpoint):
            script.stall = asyncio.Event()
            try:
                await Load(_plan(endpoint, patience_s=0.5)).run()
            finally:
                script.stall.set()

    with pytest.raises(LoadFailed, match="silent"):
        asyncio.run(main())


@pytest.mark.parametrize(("messages", "rate", "seconds", "total"), [
    (10, None, None, 10), (None, 50.0, 2.0, 100), (30, 50.0, 2.0, 30), (None, None, 2.0, None), (None, 50.0, None, None),
])
def test_how_many_there_will_be(messages: int | None, rate: float | None, seconds: float | None, total: int | None) -> None:
    assert _plan(Endpoint("127.0.0.1", 25), messages=messages, rate=rate, seconds=seconds).total() == total


def test_our_own_doors_take_it_in_clear_with_starttls_and_signed_in(tmp_path: Path) -> None:
    async def load(port: int, manner: Manner, sender: str) -> Result:
        plan = Plan(Endpoint("127.0.0.1", port), manner, "run2", sender, ("alice@local.test",), sessions=4, messages=60)
        return await Load(plan).run()

    with serving(tmp_path) as server:
        server.stop()
        submission, submissions = free_port(), free_port()
        config = (tmp_path / "ekiden.toml").read_text("utf-8")
        doors = f'[listeners]\nsubmission = ["127.0.0.1:{submission}"]\nsubmissions = ["127.0.0.1:{submissions}"]\n'
        (tmp_path / "ekiden.toml").write_text(config.replace("[listeners]\n", doors), "utf-8")
        server.start()
        context = client_context(verify=False)
        auth = auth_plain("alice", "secret")
        for port, manner, sender in (
            (server.port, Manner("c.test"), ""),
            (server.port, Manner("c.test", "starttls", context, "127.0.0.1"), ""),
            (submission, Manner("c.test", "starttls", context, "127.0.0.1", auth), "alice@local.test"),
            (submissions, Manner("c.test", "implicit", context, "127.0.0.1", auth), "alice@local.test"),
        ):
            result = asyncio.run(load(port, manner, sender))
            assert (result.accepted, result.refused, result.lost) == (60, 0, 0), (manner, result)


@pytest.mark.peer("postfix-tools")
def test_postfix_smtp_sink_takes_it(tmp_path: Path) -> None:
    tree = catalogue.tree("postfix-tools")
    env = tree.environment()
    env["LD_LIBRARY_PATH"] = f"{tree.root}/usr/lib/postfix:" + env.get("LD_LIBRARY_PATH", "")
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to stay root
    words = [str(tree.program("smtp-sink")), *user, "-h", "sink.test", f"inet:127.0.0.1:{port}", "100"]
    sink = Daemon("smtp-sink", words, log=tmp_path / "log", env=env)
    try:
        sink.wait_port(port)

        async def main() -> Result:
            return await Load(_plan(Endpoint("127.0.0.1", port), messages=2000, sessions=10, size=4096)).run()

        result = asyncio.run(main())
    finally:
        sink.stop()
    assert (result.accepted, result.refused, result.lost) == (2000, 0, 0)
