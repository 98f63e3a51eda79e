"""Quart."""

from collections.abc import AsyncIterator

from quart import Quart, Response, jsonify, request

app = Quart(__name__)


@app.get("/hello")
async def hello() -> Response:
    return jsonify(hello=request.args.get("name", "world"))


@app.route("/echo", methods=["GET", "POST", "PUT"])
async def echo() -> Response:
    kind = request.headers.get("content-type", "application/octet-stream")
    body = await request.get_data()
    return Response(body, content_type=kind, headers={"x-method": request.method})


@app.get("/paths/<path:rest>")
async def path(rest: str) -> Response:
    return Response(rest, content_type="text/plain; charset=utf-8")


@app.get("/cookies")
async def cookies() -> Response:
    response = Response("+".join(f"{k}={v}" for k, v in sorted(request.cookies.items())))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


@app.get("/stream")
async def stream() -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number

    return Response(parts(), content_type="text/plain")


@app.get("/error")
async def error() -> Response:
    raise ValueError("broken on purpose")
