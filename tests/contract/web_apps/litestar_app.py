"""Litestar."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.response import Stream


@get("/hello")
async def hello(name: str = "world") -> dict[str, str]:
    return {"hello": name}


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> Response[bytes]:
    kind = request.headers.get("content-type", "application/octet-stream")
    body = await request.body()
    return Response(body, media_type=kind, headers={"x-method": request.method})


@get("/paths/{rest:path}", media_type=MediaType.TEXT)
async def path(rest: str) -> str:
    return rest


@get("/cookies", media_type=MediaType.TEXT)
async def cookies(request: Request[Any, Any, Any]) -> Response[str]:
    text = "+".join(f"{k}={v}" for k, v in sorted(request.cookies.items()))
    given = [Cookie(key="one", value="1"), Cookie(key="two", value="2")]
    return Response(text, media_type=MediaType.TEXT, cookies=given)


@get("/stream")
async def stream() -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number

    return Stream(parts(), media_type=MediaType.TEXT)


@get("/error")
async def error() -> None:
    raise ValueError("broken on purpose")


app = Litestar([hello, echo, path, cookies, stream, error], openapi_config=None)
