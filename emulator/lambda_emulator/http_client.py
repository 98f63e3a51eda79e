"""The other way round: a small HTTP client over h11, for what the platform sends to extensions."""

from __future__ import annotations

import asyncio

import h11


class Client:
    """One keep-alive connection to an HTTP server, used to post batches of telemetry."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._protocol: h11.Connection | None = None

    async def post(self, path: str, body: bytes) -> int:
        """POST a JSON body and return the status. Raises OSError when the server is not there."""
        reused = self._protocol is not None
        try:
            return await self._exchange(path, body)
        except (OSError, h11.ProtocolError):
            self.close()
            if not reused:
                raise OSError(f"no valid answer from {self._host}:{self._port}") from None
            return await self._exchange(path, body)

    async def _exchange(self, path: str, body: bytes) -> int:
        protocol = await self._connected()
        request = h11.Request(
            method="POST",
            target=path,
            headers=[
                ("host", f"{self._host}:{self._port}"),
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
            ],
        )
        data = protocol.send(request) or b""
        data += protocol.send(h11.Data(data=body)) or b""
        data += protocol.send(h11.EndOfMessage()) or b""
        self._writer.write(data)
        await self._writer.drain()
        status = await self._answer(protocol)
        if protocol.our_state is h11.DONE and protocol.their_state is h11.DONE:
            protocol.start_next_cycle()
        else:
            self.close()
        return status

    async def _connected(self) -> h11.Connection:
        if self._protocol is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            self._protocol = h11.Connection(h11.CLIENT)
        return self._protocol

    async def _answer(self, protocol: h11.Connection) -> int:
        status = 0
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                protocol.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return status

    def close(self) -> None:
        """Drop the connection."""
        if self._protocol is not None:
            self._writer.close()
            self._protocol = None
