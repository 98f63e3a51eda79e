"""Flask."""

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

app = Flask(__name__)
closed: list[str] = []


@app.get("/hello")
def hello() -> Response:
    return jsonify(hello=request.args.get("name", "world"))


@app.route("/echo", methods=["GET", "POST", "PUT"])
def echo() -> Response:
    kind = request.headers.get("content-type", "application/octet-stream")
    return Response(request.get_data(), content_type=kind, headers={"x-method": request.method})


@app.get("/paths/<path:rest>")
def path(rest: str) -> Response:
    return Response(rest, content_type="text/plain; charset=utf-8")


@app.get("/many")
def many() -> Response:
    return jsonify(request.args.getlist("q"))


@app.post("/form")
def form() -> Response:
    upload = request.files["upload"]
    return jsonify(a=request.form["a"], name=upload.filename, size=len(upload.read()))


@app.get("/cookies")
def cookies() -> Response:
    response = Response("+".join(f"{k}={v}" for k, v in sorted(request.cookies.items())))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


@app.get("/redirect")
def redirected() -> AnyResponse:
    return redirect(url_for("hello", _external=True))


@app.get("/binary")
def binary() -> Response:
    return Response(bytes(range(256)), content_type="image/png")


@app.get("/stream")
def stream() -> Response:
    def parts() -> Iterator[str]:
        for number in range(5):
            yield f"part {number}\n"

    response = Response(parts(), content_type="text/plain")
    response.call_on_close(lambda: closed.append("stream"))
    return response


@app.get("/endless")
def endless() -> Response:
    def parts() -> Iterator[bytes]:
        while True:
            yield bytes(100_000)

    response = Response(parts())
    response.call_on_close(lambda: closed.append("endless"))
    return response


@app.get("/closed")
def what_closed() -> Response:
    return jsonify(closed)


@app.get("/breaks")
def breaks() -> Response:
    def parts() -> Iterator[bytes]:
        yield b"so far"
        raise ValueError("broken in the middle")

    return Response(parts())


@app.get("/error")
def error() -> Response:
    raise ValueError("broken on purpose")


@app.get("/environ")
def environ() -> dict[str, Any]:
    context = request.environ.get("aws.context")
    return {
        "client": request.remote_addr,
        "script_name": request.environ["SCRIPT_NAME"],
        "path_info": request.environ["PATH_INFO"],
        "url": request.url,
        "event": request.environ.get("aws.event"),
        "request_id": getattr(context, "aws_request_id", None),
    }
