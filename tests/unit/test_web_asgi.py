"""Plain ASGI applications, called as the runtime calls them: on every Python.

Frameworks are in tests/contract/test_web.py. Here is what a server must do with the application's
call, whether it waits for something or not, and whether its task begins at once or a turn later.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from lambda_runtime import aio
from lambda_runtime.web import asgi
from lambda_runtime.web.settings import RESPONSE_MODE
from support.http_events import HttpRequest, function_url

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Part = Callable[[Send], Awaitable[None]]

HEAD: Message = {"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]}
BODY: Message = {"type": "http.response.body", "body": b"all of it"}

setting: contextvars.ContextVar[str] = contextvars.ContextVar("setting", default="unset")


@pytest.fixture(autouse=True)
def a_loop_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(RESPONSE_MODE, raising=False)
    monkeypatch.setattr(aio, "_loop", None)
    yield
    if aio._loop is not None:
        aio._loop.close()
    asyncio.set_event_loop(None)


def call(respond: Part) -> Any:
    """The answer of an application that does this for each request, to a function URL."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await respond(send)
        else:
            raise NotImplementedError  # no lifespan

    handler, _ = asgi.adapt(application)
    result: Any = handler(function_url(HttpRequest("GET", "/")), None)
    return aio.run(result)


async def at_once(send: Send) -> None:
    await send(HEAD)
    await send(BODY)


async def after_a_pause(send: Send) -> None:
    await asyncio.sleep(0)
    await send(HEAD)
    await asyncio.sleep(0)
    await send(BODY)


@pytest.mark.parametrize("respond", [at_once, after_a_pause])
@pytest.mark.parametrize("mode", ["", "buffered"])
def test_a_response_in_one_piece(respond: Part, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RESPONSE_MODE, mode)
    answer = call(respond)
    assert (answer["statusCode"], answer["body"]) == (201, "all of it")
    assert answer["headers"] == {"x-a": "1"}


@pytest.mark.parametrize("pause", [False, True])
def test_a_response_in_pieces(pause: bool) -> None:
    async def respond(send: Send) -> None:
        if pause:
            await asyncio.sleep(0)
        await send(HEAD)
        for piece in (b"one", b"two"):
            await send({**BODY, "body": piece, "more_body": True})
        await send({**BODY, "body": b""})

    async def drained() -> list[bytes]:
        return [chunk async for chunk in chunks if chunk]

    answer = call(respond)
    chunks = answer.body
    assert answer.status == 201
    assert aio.run(drained()) == [b"one", b"two"]


@pytest.mark.parametrize("kind", [bytearray, memoryview, type("Bytes", (bytes,), {})])
def test_other_objects_with_bytes_are_taken(kind: Callable[[bytes], Any]) -> None:
    async def respond(send: Send) -> None:
        headers = [(kind(b"X-A"), b"1"), (b"x-b", kind(b"2")), (b"x-c", b"3")]
        await send({**HEAD, "headers": headers})
        await send({**BODY, "body": kind(b"all of it")})

    answer = call(respond)
    assert answer["headers"] == {"x-a": "1", "x-b": "2", "x-c": "3"}
    assert (answer["statusCode"], answer["body"]) == (201, "all of it")


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ([("x-a", b"1")], b"", "the header name 'x-a' of type str: ASGI has bytes there"),
        ([(b"x-b", b"1"), (b"x-a", "1")], b"", "for the header b'x-a' a value of type str: "),
        ([(b"x-a", 1)], b"", "for the header b'x-a' a value of type int: "),
        ([(None, b"1")], b"", "the header name None of type NoneType: "),
        ([], "text", "a body of type str: ASGI has bytes there, so encode text"),
        ([], 5, "a body of type int: "),
        ([], None, "a body of type NoneType: "),
    ],
)
def test_what_is_not_bytes_is_an_error_that_says_so(
    headers: Any, body: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def respond(send: Send) -> None:
        await send({**HEAD, "headers": headers})
        await send({**BODY, "body": body})

    assert call(respond)["statusCode"] == 500
    logged = capsys.readouterr().out
    assert f"TypeError: the application sent {said}" in logged
    assert "test_web_asgi.py" in logged  # where it was sent


def test_an_application_may_send_an_error_after_what_is_not_bytes() -> None:
    async def respond(send: Send) -> None:
        try:
            await send({**HEAD, "headers": [("x-a", "1")]})
        except TypeError:
            await at_once(send)

    assert call(respond)["statusCode"] == 201


@pytest.mark.parametrize("pause", [False, True])
def test_an_exception_is_an_answer(pause: bool, capsys: pytest.CaptureFixture[str]) -> None:
    async def respond(send: Send) -> None:
        if pause:
            await asyncio.sleep(0)
        raise LookupError("no such thing")

    assert call(respond)["statusCode"] == 500
    assert "no such thing" in capsys.readouterr().out


@pytest.mark.parametrize("pause", [False, True])
def test_leaving_the_process(pause: bool) -> None:
    async def respond(send: Send) -> None:
        if pause:
            await asyncio.sleep(0)
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        call(respond)
    gc.collect()  # the task says that nobody took its exception: now, and not while pytest parses


def test_one_task_from_beginning_to_end() -> None:
    tasks: list[object] = []

    async def respond(send: Send) -> None:
        tasks.append(asyncio.current_task())
        assert asyncio.current_task() in asyncio.all_tasks()
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        await at_once(send)

    call(respond)
    assert tasks[0] is not None
    assert tasks[0] is tasks[1]


def test_context_variables_stay_with_their_request() -> None:
    seen: list[str] = []

    async def respond(send: Send) -> None:
        seen.append(setting.get())
        setting.set("by the first")
        await at_once(send)
        seen.append(setting.get())

    call(respond)
    call(respond)
    assert seen == ["unset", "by the first"] * 2


def test_what_is_left_to_do_after_the_response_is_done_before_the_answer() -> None:
    done: list[str] = []

    async def respond(send: Send) -> None:
        await at_once(send)
        await asyncio.sleep(0.01)
        done.append("background task")

    call(respond)
    assert done == ["background task"]


def test_the_users_task_factory_makes_the_task() -> None:
    names: list[str] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        names.append(coroutine.__name__)
        return asyncio.Task(coroutine, loop=loop, **options)

    aio.prepare().set_task_factory(factory)
    assert call(at_once)["statusCode"] == 201
    assert "_run" in names
