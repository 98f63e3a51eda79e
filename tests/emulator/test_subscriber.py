"""Where telemetry is sent: subscribers that answer, refuse, hang or are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lambda_emulator.platform.subscriber import HttpDestination, TcpDestination
from lambda_emulator.platform.subscription import Subscription

WAIT_SECONDS = 10.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def subscription(protocol: str, port: int, host: str = "127.0.0.1") -> Subscription:
    """What an extension has asked for."""
    return Subscription(
        "extension", "telemetry", "2022-12-13", ("platform",), 1000, 262_144, 1, protocol, host,
        port, "/path?a=b",
    )  # fmt: skip


class Listener:
    """A server that notes what it gets on each connection and gives one answer to each request."""

    def __init__(self, answer: bytes | None, *, read: bool = True) -> None:
        self.received: list[bytes] = []
        self._answer = answer
        self._read = read

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.received.append(b"")
        if not self._read:
            await asyncio.sleep(WAIT_SECONDS)
        while data := await reader.read(65536):
            self.received[-1] += data
            if self._answer is not None and self.received[-1].endswith(b"]"):
                writer.write(self._answer)
        writer.close()


@asynccontextmanager
async def listening(listener: Listener, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """The port that the listener is at."""
    server = await asyncio.start_server(listener.serve, host, 0)
    async with asyncio.timeout(WAIT_SECONDS):
        yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_batches_by_http_use_one_connection(host: str) -> None:
    listener = Listener(OK)

    async def main() -> None:
        async with listening(listener, host) as port:
            destination = HttpDestination(subscription("HTTP", port, host))
            await destination.deliver([b'{"a":1}', b'{"b":2}'])
            await destination.deliver([b"{}"])
            await destination.close()

    asyncio.run(main())
    (received,) = listener.received
    assert received.startswith(b"POST /path?a=b HTTP/1.1\r\n")
    assert received.count(b"POST ") == 2
    assert b'\r\n\r\n[{"a":1},{"b":2}]POST' in received
    assert b"content-type: application/json\r\n" in received.lower()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "the subscriber answered 500"),
        (b"HTTP/1.1 302 No\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", "answered 302"),
        (b"NONSENSE\r\n\r\n", "no valid answer from http://127.0.0.1"),
        (None, "ReadTimeout"),
    ],
)
def test_what_a_subscriber_by_http_does_not_take(answer: bytes | None, text: str) -> None:
    async def main() -> None:
        async with listening(Listener(answer)) as port:
            destination = HttpDestination(subscription("HTTP", port), timeout=0.3)
            with pytest.raises(OSError, match=text):
                await destination.deliver([b"{}"])
            await destination.close()

    asyncio.run(main())


def test_nobody_listens() -> None:
    async def main() -> None:
        async with listening(Listener(OK)) as port:
            pass
        for destination in (
            HttpDestination(subscription("HTTP", port)),
            TcpDestination(subscription("TCP", port)),
        ):
            with pytest.raises(OSError):
                await destination.deliver([b"{}"])
            await destination.close()

    asyncio.run(main())


def test_batches_by_tcp_are_lines() -> None:
    listener = Listener(None)

    async def main() -> None:
        async with listening(listener) as port:
            destination = TcpDestination(subscription("TCP", port))
            await destination.deliver([b'{"a":1}', b'{"b":2}'])
            while listener.received != [b'{"a":1}\n{"b":2}\n']:
                await asyncio.sleep(0.01)
            await destination.close()

    asyncio.run(main())


def test_a_subscriber_by_tcp_that_does_not_read() -> None:
    async def main() -> None:
        async with listening(Listener(None, read=False)) as port:
            destination = TcpDestination(subscription("TCP", port), timeout=0.3)
            with pytest.raises(TimeoutError):
                for _ in range(100):
                    await destination.deliver([b"x" * 1_000_000])
            await destination.close()

    asyncio.run(main())
