"""The floor of a Python runtime: receive, parse, serialise, send, and nothing checked or caught.

``python bare_loop.py HANDLER [PROCESSES]``: with a number, so many forked processes.
"""

import gc
import importlib
import os
import socket
import sys

import orjson

ASK = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: floor\r\n\r\n"
PATH = b"POST /2018-06-01/runtime/invocation/"
ANSWER = b"%b%b/response HTTP/1.1\r\nHost: floor\r\nContent-Length: %d\r\n\r\n"
REQUEST_ID = b"Lambda-Runtime-Aws-Request-Id: "
LENGTH = b"Content-Length: "
END = b"\r\n\r\n"


def connect() -> socket.socket:
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection: socket.socket, data: bytes) -> tuple[bytes, bytes | memoryview, bytes]:
    """The head of a message that begins with this data, its body, and what follows it."""
    while (end := data.find(END)) < 0:
        data += connection.recv(65536)
    head, start = data[:end], end + 4
    at = head.find(LENGTH)
    if at >= 0:
        size = int(head[at + len(LENGTH) :].partition(b"\r\n")[0])
        last = b""
    else:
        while (end := data.find(b"\r\n", start)) < 0:
            data += connection.recv(65536)
        size, start, last = int(data[start:end], 16), end + 2, b"\r\n0\r\n\r\n"
    total = start + size + len(last)
    if total <= len(data):
        return head, data[start : start + size], data[total:]
    whole = bytearray(size + len(last))
    at = len(data) - start
    whole[:at] = data[start:]
    with memoryview(whole) as view:
        while at < len(whole):
            at += connection.recv_into(view[at:])
    return head, memoryview(whole)[:size], b""


def serve(handler) -> None:  # type: ignore[no-untyped-def]
    connection = connect()
    connection.sendall(ASK)
    rest = b""
    while True:
        head, body, _ = receive(connection, rest)
        at = head.find(REQUEST_ID) + len(REQUEST_ID)
        request_id = head[at : head.find(b"\r\n", at)]
        result = orjson.dumps(handler(orjson.loads(body), None))
        answer = ANSWER % (PATH, request_id, len(result))
        if len(result) < 32768:
            connection.send(answer + result + ASK)
        else:
            connection.sendall(answer)
            connection.sendall(result)
            connection.sendall(ASK)
        _, _, rest = receive(connection, b"")


def main() -> None:
    gc.disable()  # a floor collects nothing
    module, function = sys.argv[1].split(".")
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    handler = getattr(importlib.import_module(module), function)
    for _ in range(int("".join(sys.argv[2:3]) or "1") - 1):
        if not os.fork():
            break
    serve(handler)


if __name__ == "__main__":
    main()
