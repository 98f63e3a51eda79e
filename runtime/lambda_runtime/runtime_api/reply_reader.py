"""The Runtime API's replies out of bytes as they arrive."""

from lambda_runtime.runtime_api.http1 import (
    ProtocolError,
    Reply,
    body_length,
    parse_head,
    parse_status_line,
)
from lambda_runtime.runtime_api.reader import MessageReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol

    class Expectant(Protocol):
        """Hears of a reply when its head has come."""

        def expect(self, headers: Mapping[str, str]) -> None: ...


class ReplyReader(MessageReader):
    """The replies of one connection, one after the other.

    ``expectant``, if there is one, hears of each reply as soon as its head has come.
    """

    start = b"HTTP/1."

    def __init__(self, expectant: "Expectant | None" = None) -> None:
        super().__init__()
        self._expectant = expectant
        # To an answer the platform says the same every time.
        self._known: tuple[bytes | None, Reply, int] = (None, Reply(0, {}), 0)

    def feed(self, data: bytes) -> "Iterator[Reply]":
        """Take bytes in, as every reader does; replies that come whole need no generators."""
        start = 0
        while self._is_between and (found := data.find(b"\r\n\r\n", start)) >= 0:
            reply, length = self.begin(data[start:found])
            end = found + 4 + length
            if length < 0 or end > len(data):
                break
            if reply is not None:
                reply.body = data[found + 4 : end]
                yield reply
            start = end
        if start < len(data):
            yield from super().feed(data[start:])

    def begin(self, block: bytes) -> tuple[Reply | None, int]:
        """The reply, None if it is provisional, and the length of its body."""
        known, reply, length = self._known
        if block == known:
            return reply, length
        status, headers, closing = parse_head(block)
        if status == 101:
            raise ProtocolError("101 Switching Protocols, though none was asked for")
        if status < 200:
            return None, 0
        if self._expectant is not None:
            self._expectant.expect(headers)
        reply, length = Reply(status, headers, closing), body_length(status, headers)
        if status == 202 and length >= 0 and not closing:
            self._known = block, reply, length
        return reply, length

    def check_first_line(self, line: bytes) -> None:
        parse_status_line(line.decode("utf-8", "replace"))
