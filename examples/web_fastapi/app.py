"""A FastAPI application as a Lambda function, without an adapter. It streams server-sent events.

Run it with the handler ``app.app``. If the function has the environment variable
LAMBDA_RUNTIME_EVENT_HANDLER=app.on_event, queue messages go to ``on_event``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse

notes: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("started: once, before the first event")
    yield
    print("shut down")


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def hello(request: Request, name: str = "world") -> dict[str, Any]:
    context = request.scope["aws.context"]
    return {"hello": name, "milliseconds_left": context.get_remaining_time_in_millis()}


@app.post("/notes", status_code=202)
async def note(text: str, tasks: BackgroundTasks) -> dict[str, bool]:
    tasks.add_task(notes.append, text)
    return {"accepted": True}


@app.get("/notes")
async def read() -> list[str]:
    return notes


@app.get("/countdown")
async def countdown(start: int = 3) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        for number in range(start, -1, -1):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(events(), media_type="text/event-stream")


def on_event(event: dict[str, Any], context: object) -> dict[str, list[object]]:
    for record in event.get("Records", []):
        notes.append(record["body"])
    return {"batchItemFailures": []}
