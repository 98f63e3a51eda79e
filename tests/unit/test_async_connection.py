"""The event loop's connection against a peer that is scripted byte by byte."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from lambda_runtime.runtime_api.async_connection import AsyncConnection
from lambda_runtime.runtime_api.http1 import Disconnected, ProtocolError, Reply
from support.peer import LARGE, REFUSALS, REFUSING, Script, answering, peer

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"


def play(use: Callable[[AsyncConnection], Awaitable[None]], *scripts: Script) -> None:
    """Run what uses a connection to a peer that plays these scripts, one for each connection."""

    async def run(address: str) -> None:
        connection = AsyncConnection(address, asyncio.get_running_loop())
        try:
            async with asyncio.timeout(20):
                await use(connection)
        finally:
            connection.close()
            await asyncio.sleep(0)

    with peer(*scripts) as address:
        asyncio.run(run(address))


async def ask(connection: AsyncConnection, *messages: bytes) -> Reply:
    return await (await connection.send(*messages))[0]


@pytest.mark.parametrize(
    "closing",
    [
        SIZED.replace(b"X-A: 1", b"Connection: foo, Close"),
        SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ],
)
def test_nothing_is_sent_into_a_connection_that_closes(closing: bytes) -> None:
    async def use(connection: AsyncConnection) -> None:
        first = await ask(connection, GET)
        assert (first.body, first.closing) == (b"hello", True)
        second = await ask(connection, GET)
        assert (second.body, second.closing) == (b"hello", False)

    play(use, answering(closing), answering(SIZED))


@pytest.mark.parametrize("refusing", REFUSING, ids=REFUSALS)
def test_a_refusal_while_a_request_is_being_sent(refusing: Script) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGE

    async def use(connection: AsyncConnection) -> None:
        refusal, lost = await connection.send(head + bytes(LARGE), GET)
        assert (await refusal).status == 413
        with pytest.raises((Disconnected, OSError)):
            await lost
        assert (await ask(connection, GET)).body == b"hello"

    play(use, refusing, answering(SIZED))


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", b"SSH-2.0\r\n"])
def test_what_is_not_http_is_refused_at_once(reply: bytes) -> None:
    async def use(connection: AsyncConnection) -> None:
        with pytest.raises(ProtocolError):
            await ask(connection, GET)

    def script(accepted: socket.socket) -> None:
        answering(reply)(accepted)
        assert accepted.recv(1) == b""

    play(use, script)
