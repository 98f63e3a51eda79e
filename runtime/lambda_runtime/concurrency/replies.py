"""The Runtime API's replies out of bytes as they arrive."""

from lambda_runtime.connection import Reply
from lambda_runtime.http1 import ProtocolError, body_length, parse_head, parse_status_line
from lambda_runtime.message_reader import MessageReader


class ReplyReader(MessageReader):
    """The replies of one connection, one after the other."""

    start = b"HTTP/1."

    def begin(self, block: bytes) -> tuple[Reply | None, int]:
        """The reply, None if it is provisional, and the length of its body."""
        status, headers, closing = parse_head(block)
        if status == 101:
            raise ProtocolError("101 Switching Protocols, though none was asked for")
        if status < 200:
            return None, 0
        return Reply(status, headers, closing), body_length(status, headers)

    def check_first_line(self, line: bytes) -> None:
        parse_status_line(line.decode("utf-8", "replace"))
