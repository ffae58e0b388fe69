"""Threads that are there before they are needed."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from ekiden.services.hands import Hands, NoThreads


def test_work_is_done_its_result_and_its_error_come_back() -> None:
    hands = Hands(2)
    assert hands.submit(divmod, 7, 2).result(10) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        hands.submit(divmod, 1, 0).result(10)
    hands.shutdown()
    with pytest.raises(RuntimeError):
        hands.submit(divmod, 7, 2)


def test_all_threads_are_there_from_the_start_and_gone_in_the_end() -> None:
    before = threading.active_count()
    hands = Hands(5)
    assert threading.active_count() == before + 5
    gate = threading.Event()
    waiting: list[Future[bool]] = [hands.submit(gate.wait, 10) for _ in range(12)]
    assert threading.active_count() == before + 5
    gate.set()
    assert all(each.result(10) for each in waiting)
    hands.shutdown()
    assert threading.active_count() == before


def test_what_was_given_is_done_before_the_end() -> None:
    hands = Hands(1)
    gate = threading.Event()
    hands.submit(gate.wait, 10)
    last = hands.submit(int, "7")
    gate.set()
    hands.shutdown()
    assert last.result(0) == 7


def test_work_that_nobody_wants_any_more_is_not_done() -> None:
    hands = Hands(1)
    gate = threading.Event()
    hands.submit(gate.wait, 10)
    done: list[int] = []
    assert hands.submit(done.append, 1).cancel()
    gate.set()
    hands.shutdown()
    assert done == []


def test_an_event_loop_takes_them() -> None:
    async def main() -> str:
        asyncio.get_running_loop().set_default_executor(Hands(1, name="ours"))
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert asyncio.run(main()) == "ours-0"


def test_fewer_threads_are_taken_for_what_they_are_and_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    really = threading.Thread.start
    left = [2]

    def start(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        really(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    hands = Hands(4)
    assert hands.threads == 2
    assert hands.submit(int, "7").result(10) == 7
    hands.shutdown()
    with pytest.raises(NoThreads):
        Hands(4)
