"""The event loop of async handlers: how many turns a call takes, and what runs in them."""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_runtime import aio


class CountingSelector(selectors.DefaultSelector):
    """Counts the turns of the event loop: each begins with a look at the files."""

    turns = 0

    def select(self, timeout: float | None = None) -> Any:
        self.turns += 1
        return super().select(timeout)


class SecretiveLoop(asyncio.SelectorEventLoop):
    """An event loop that does not show the runtime what is ready, as loops in C do not."""

    def __getattribute__(self, name: str) -> Any:
        if name == "_ready" and sys._getframe(1).f_globals["__name__"] == aio.__name__:
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.fixture(params=[asyncio.SelectorEventLoop, SecretiveLoop])
def loop(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[asyncio.AbstractEventLoop]:
    made = request.param(CountingSelector())
    monkeypatch.setattr(aio, "_loop", made)
    yield made
    made.close()


def turns(loop: Any) -> int:
    count: int = loop._selector.turns
    loop._selector.turns = 0
    return count


async def nothing() -> str:
    return "done"


def test_a_call_that_waits_for_nothing_takes_one_turn(loop: asyncio.AbstractEventLoop) -> None:
    shows_what_is_ready = type(loop) is asyncio.SelectorEventLoop
    for _ in range(3):
        assert aio.run(nothing()) == "done"
        assert turns(loop) == (1 if shows_what_is_ready else 2)


def test_each_wait_takes_a_turn(loop: asyncio.AbstractEventLoop) -> None:
    async def waits() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    for _ in range(3):
        aio.run(waits())
        assert 3 <= turns(loop) <= 4


def test_what_is_left_behind_begins_before_the_answer(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def background() -> None:
        seen.append("begins")
        await asyncio.sleep(0)
        seen.append("goes on")

    async def leaves() -> None:
        loop.call_soon(seen.append, "callback")
        tasks.append(loop.create_task(background()))

    aio.run(leaves())
    assert seen == ["callback", "begins"]
    aio.run(nothing())
    assert seen == ["callback", "begins", "goes on"]


def test_what_waits_for_the_end_of_the_call_runs_before_the_answer(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[object] = []

    async def is_watched() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda done: seen.append(done.done()))

    aio.run(is_watched())
    assert seen == [True]


def test_a_timer_that_is_due_runs_before_the_answer(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[str] = []

    async def leaves() -> None:
        loop.call_later(0, seen.append, "timer")

    aio.run(leaves())
    assert seen == ["timer"]


def test_an_error_and_a_cancellation_end_the_call(loop: asyncio.AbstractEventLoop) -> None:
    async def fails() -> None:
        raise LookupError("no such thing")

    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    with pytest.raises(LookupError):
        aio.run(fails())
    with pytest.raises(asyncio.CancelledError):
        aio.run(cancelled())
    assert aio.run(nothing()) == "done"


@pytest.mark.filterwarnings("ignore:coroutine 'nothing' was never awaited")
def test_a_call_that_is_cancelled_before_it_begins(loop: asyncio.AbstractEventLoop) -> None:
    def cancel_all() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()

    loop.call_soon(cancel_all)
    with pytest.raises(asyncio.CancelledError):
        aio.run(nothing())
    assert aio.run(nothing()) == "done"


def test_a_call_that_was_given_up_does_not_stop_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    async def goes_on() -> str:
        try:
            loop.call_soon(interrupt)
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "in spite of that"

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aio.run(goes_on())
    assert loop.run_until_complete(nothing()) == "done"
    assert aio.run(nothing()) == "done"
