"""Which callables are web applications, by their parameters alone."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from lambda_runtime import handlers, loop
from lambda_runtime.ground.faults import FaultException
from lambda_runtime.web import detect


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
async def asgi_short(s: Any, r: Any, w: Any) -> None: ...
async def asgi_more(scope: Any, receive: Any, send: Any, extra: int = 0) -> None: ...
def asgi_sync(scope: Any, receive: Any, send: Any) -> Any: ...
def wsgi(environ: Any, start_response: Any) -> Any: ...
def wsgi_short(env: Any, start_response: Any) -> Any: ...
def plain(event: Any, context: Any) -> Any: ...
def plain_more(event: Any, context: Any, extra: int = 0) -> Any: ...
async def plain_async(event: Any, context: Any) -> Any: ...
def plain_any(*arguments: Any, **named: Any) -> Any: ...
def plain_three(event: Any, context: Any, extra: Any) -> Any: ...


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...
    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...
    def __await__(self) -> Any: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...


class Plain:
    def __init__(self, event: Any = None, context: Any = None) -> None: ...
    def __call__(self, event: Any, context: Any) -> Any: ...


class PlainAsync:
    async def __call__(self, event: Any, context: Any) -> Any: ...


@functools.wraps(asgi)
def wrapped_asgi(*arguments: Any) -> Any: ...
@functools.wraps(plain)
def wrapped_plain(*arguments: Any) -> Any: ...


def more(extra: int, scope: Any, receive: Any, send: Any) -> Any: ...


CASES = [
    (asgi, "asgi"),
    (asgi_short, "asgi"),
    (asgi_more, "asgi"),
    (asgi_sync, "asgi"),
    (Asgi(), "asgi"),
    (Asgi().method, "asgi"),
    (AsgiClass, "asgi"),
    (wrapped_asgi, "asgi"),
    (functools.partial(more, 1), "asgi"),
    (functools.partial(asgi), "asgi"),
    (wsgi, "wsgi"),
    (wsgi_short, "wsgi"),
    (Wsgi(), "wsgi"),
    (WsgiClass, "wsgi"),
    (functools.partial(Wsgi()), "wsgi"),
    (plain, None),
    (plain_more, None),
    (plain_async, None),
    (plain_any, None),
    (plain_three, None),
    (wrapped_plain, None),
    (Plain, None),
    (Plain(), None),
    (PlainAsync(), None),
    (functools.partial(plain), None),
    (print, None),
    (dict, None),
    (len, None),
]


@pytest.mark.parametrize(("candidate", "expected"), CASES)
def test_interface(candidate: Any, expected: str | None) -> None:
    assert detect.interface(candidate) == expected


@pytest.mark.parametrize(("candidate", "expected"), CASES)
def test_the_cheap_look_misses_no_application(candidate: Any, expected: str | None) -> None:
    assert handlers.may_be_web(candidate) or expected is None


@pytest.mark.parametrize("candidate", [plain, plain_more, plain_async, plain_any, Plain(), print])
def test_plain_handlers_are_left_alone(candidate: Any) -> None:
    assert loop.adapt(candidate) is candidate


def asgi_2(scope: Any) -> Any: ...


class Asgi2:
    def __init__(self, scope: Any) -> None: ...
    async def __call__(self, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("candidate", [asgi_2, Asgi2])
def test_asgi_2_is_refused(candidate: Any) -> None:
    with pytest.raises(FaultException, match="as ASGI 2 applications do"):
        loop.adapt(candidate)
