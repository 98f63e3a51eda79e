"""Bottle."""

from collections.abc import Iterator

from bottle import Bottle, HTTPResponse, request, response

app = Bottle()


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": request.query.get("name", "world")}


@app.route("/echo", method=["GET", "POST", "PUT"])
def echo() -> HTTPResponse:
    kind = request.get_header("content-type") or "application/octet-stream"
    headers = {"Content-Type": kind, "x-method": request.method}
    return HTTPResponse(request.body.read(), 200, headers)


@app.get("/paths/<rest:path>")
def path(rest: str) -> str:
    response.content_type = "text/plain; charset=utf-8"
    return rest


@app.get("/cookies")
def cookies() -> str:
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return "+".join(f"{k}={v}" for k, v in sorted(request.cookies.items()))


@app.get("/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "text/plain"
    for number in range(5):
        yield b"%d" % number


@app.get("/error")
def error() -> str:
    raise ValueError("broken on purpose")
