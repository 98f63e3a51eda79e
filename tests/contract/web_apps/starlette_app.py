"""Starlette, with the middleware that turns every response into a stream."""

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route


async def hello(request: Request) -> Response:
    return JSONResponse({"hello": request.query_params.get("name", "world")})


async def echo(request: Request) -> Response:
    kind = request.headers.get("content-type", "application/octet-stream")
    return Response(await request.body(), media_type=kind, headers={"x-method": request.method})


async def path(request: Request) -> Response:
    return PlainTextResponse(request.path_params["rest"])


async def cookies(request: Request) -> Response:
    response = PlainTextResponse("+".join(f"{k}={v}" for k, v in request.cookies.items()))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number

    return StreamingResponse(parts(), media_type="text/plain")


async def large(request: Request) -> Response:
    return PlainTextResponse("large " * 500)


async def mounted(request: Request) -> Response:
    return PlainTextResponse(f"{request.scope['root_path']} {request.url.path}")


async def error(request: Request) -> Response:
    raise ValueError("broken on purpose")


class Marks(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-marked"] = "yes"
        return response


app = Starlette(
    routes=[
        Route("/hello", hello),
        Route("/echo", echo, methods=["GET", "POST", "PUT"]),
        Route("/paths/{rest:path}", path),
        Route("/cookies", cookies),
        Route("/stream", stream),
        Route("/large", large),
        Route("/error", error),
        Mount("/mounted", routes=[Route("/inner", mounted)]),
    ],
    middleware=[Middleware(GZipMiddleware), Middleware(Marks)],
)
