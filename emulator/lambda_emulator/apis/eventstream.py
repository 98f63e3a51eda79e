"""The framing of ``InvokeWithResponseStream``: AWS's event stream encoding.

A message consists of the total length and the length of the headers (u32 each), the CRC-32 of these
eight bytes, the headers, the payload, and the CRC-32 of everything before; all are big-endian. A
header consists of the length of its name (u8), the name, the type 7 (string), the length of its
value (u16), and the value. Source: AWS, 'Event stream encoding'.
"""

from __future__ import annotations

import json
import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def payload_chunk(data: bytes) -> bytes:
    """The message with a piece of the function's response."""
    return encode(
        {
            ":message-type": "event",
            ":event-type": "PayloadChunk",
            ":content-type": "application/octet-stream",
        },
        data,
    )


def invoke_complete(
    error_code: str | None, error_details: str | None, log_tail: bytes | None
) -> bytes:
    """The message at the end of the response; ``log_tail`` is base64."""
    body: dict[str, str] = {}
    if error_code is not None:
        body["ErrorCode"] = error_code
        body["ErrorDetails"] = error_details or ""
    if log_tail is not None:
        body["LogResult"] = log_tail.decode("ascii")
    headers = {
        ":message-type": "event",
        ":event-type": "InvokeComplete",
        ":content-type": "application/json",
    }
    return encode(headers, json.dumps(body).encode())


def encode(headers: dict[str, str], payload: bytes) -> bytes:
    """The bytes of one message."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _STRING, len(text)) + text
