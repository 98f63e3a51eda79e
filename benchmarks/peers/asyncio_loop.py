"""The floor of several invocations at once on asyncio: as many polls, and nothing checked."""

import asyncio
import importlib
import os
import sys

import orjson
from bare_loop import (  # type: ignore[import-not-found]
    ANSWER,
    ASK,
    END,
    LENGTH,
    PATH,
    REQUEST_ID,
    connect,
)


class Poll(asyncio.Protocol):
    """One connection, which asks for an event, and for the next with each answer."""

    def __init__(self, handler) -> None:  # type: ignore[no-untyped-def]
        self._handler = handler
        self._data = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(ASK)

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        while (end := data.find(END)) >= 0:
            at = data.find(LENGTH) + len(LENGTH)
            size = int(data[at : data.find(b"\r\n", at)])
            if len(data) < end + 4 + size:
                break
            at = data.find(REQUEST_ID, 0, end)
            if at >= 0:
                at += len(REQUEST_ID)
                request_id = data[at : data.find(b"\r\n", at)]
                event = orjson.loads(data[end + 4 : end + 4 + size])
                self._task = asyncio.ensure_future(self._handle(request_id, event))
            data = data[end + 4 + size :]
        self._data = data

    async def _handle(self, request_id: bytes, event: object) -> None:
        result = orjson.dumps(await self._handler(event, None))
        self._transport.write(ANSWER % (PATH, request_id, len(result)) + result + ASK)


async def main() -> None:
    module, function = sys.argv[1].split(".")
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    handler = getattr(importlib.import_module(module), function)
    loop = asyncio.get_running_loop()
    for _ in range(int(sys.argv[2])):
        connection = connect()
        connection.setblocking(False)
        await loop.create_connection(lambda: Poll(handler), sock=connection)
    await loop.create_future()


if __name__ == "__main__":
    asyncio.run(main())
