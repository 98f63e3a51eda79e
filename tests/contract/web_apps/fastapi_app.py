"""FastAPI: the routes that every application here has, and what only FastAPI offers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import BackgroundTasks, Cookie, FastAPI, File, Form, Query, Request, UploadFile
from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel

happened: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    happened.append("startup")
    yield {"pool": "open"}
    print("shutdown seen", flush=True)


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


@app.get("/hello")
async def hello(name: str = "world") -> dict[str, str]:
    return {"hello": name}


@app.get("/sync")
def sync(number: int) -> dict[str, int]:
    return {"twice": number * 2}


@app.post("/items", status_code=201)
async def create(item: Item) -> Item:
    return item


@app.get("/many")
async def many(q: Annotated[list[str], Query()]) -> list[str]:
    return q


@app.get("/paths/{rest:path}")
async def path(rest: str, request: Request) -> dict[str, str]:
    raw: bytes = request.scope["raw_path"]
    return {"rest": rest, "raw": raw.decode()}


@app.post("/form")
async def form(a: Annotated[str, Form()], upload: Annotated[UploadFile, File()]) -> dict[str, Any]:
    content = await upload.read()
    return {"a": a, "name": upload.filename, "size": len(content), "sum": sum(content)}


@app.api_route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def echo(request: Request) -> Response:
    kind = request.headers.get("content-type", "application/octet-stream")
    return Response(await request.body(), media_type=kind, headers={"x-method": request.method})


@app.get("/cookies")
async def cookies(a: Annotated[str, Cookie()] = "", b: Annotated[str, Cookie()] = "") -> Response:
    response = Response(f"{a}+{b}", media_type="text/plain")
    response.set_cookie("one", "1", path="/", httponly=True)
    response.set_cookie("two", "2", max_age=60)
    response.headers.append("x-several", "first")
    response.headers.append("x-several", "second")
    return response


@app.get("/binary")
async def binary() -> Response:
    return Response(bytes(range(256)), media_type="image/png")


@app.get("/latin")
async def latin() -> Response:
    return Response(
        "gr\u00fcn".encode("latin-1"), headers={"content-type": "text/plain; charset=latin-1"}
    )


@app.get("/encoded")
async def encoded() -> Response:
    import gzip

    body = gzip.compress(b"text " * 50, mtime=0)
    return Response(body, media_type="text/plain", headers={"content-encoding": "gzip"})


@app.get("/empty")
async def empty() -> Response:
    return Response(status_code=204)


@app.get("/redirect")
async def redirect(request: Request) -> Response:
    return RedirectResponse(str(request.url_for("hello")), 307)


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(__file__, media_type="text/x-python")


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        for number in range(5):
            yield f"part {number}\n"

    return StreamingResponse(parts(), media_type="text/plain")


@app.get("/events")
async def events(pause: float = 0.0, count: int = 3, work: float = 0.0) -> StreamingResponse:
    await asyncio.sleep(work)

    async def parts() -> AsyncIterator[str]:
        for number in range(count):
            yield f"data: {number}\n\n"
            await asyncio.sleep(pause)

    return StreamingResponse(parts(), media_type="text/event-stream")


@app.get("/endless")
async def endless() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
                await asyncio.sleep(0.01)
        finally:
            happened.append("stream closed")

    return StreamingResponse(parts())


@app.get("/breaks")
async def breaks() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"so far"
        await asyncio.sleep(0)
        raise ValueError("broken in the middle")

    return StreamingResponse(parts())


@app.get("/error")
async def error() -> None:
    raise ValueError("broken on purpose")


@app.get("/background")
async def background(tasks: BackgroundTasks, fail: bool = False) -> dict[str, bool]:
    async def later() -> None:
        await asyncio.sleep(0.05)
        if fail:
            raise ValueError("broken in the background")
        happened.append("background")

    tasks.add_task(later)
    return {"queued": True}


@app.get("/happened")
async def what_happened(request: Request) -> dict[str, Any]:
    return {"happened": happened, "pool": request.state.pool}


@app.get("/scope")
async def scope(request: Request) -> dict[str, Any]:
    scope = request.scope
    context = scope.get("aws.context")
    return {
        "client": scope["client"][0],
        "scheme": scope["scheme"],
        "root_path": scope["root_path"],
        "path": scope["path"],
        "url": str(request.url),
        "url_for": str(request.url_for("hello")),
        "event": scope.get("aws.event"),
        "request_id": getattr(context, "aws_request_id", None),
    }


@app.post("/socket")
async def socket(request: Request) -> dict[str, Any]:
    where = request.scope["aws.event"]["requestContext"]
    body = (await request.body()).decode()
    return {"type": where["eventType"], "connection": where["connectionId"], "got": body}


def on_event(event: dict[str, Any], context: object) -> dict[str, Any]:
    return {"records": len(event.get("Records", []))}
