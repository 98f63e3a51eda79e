"""A client for any call of Lambda's APIs, valid or not, as a runtime or an extension makes it."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PATIENCE = 10.0
_RUNTIME = "/2018-06-01/runtime"
_EXTENSION = "/2020-01-01/extension"


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its headers by lower-case name, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error_type(self) -> str:
        """The errorType in the body."""
        return str(json.loads(self.body)["errorType"])

    @property
    def request_id(self) -> str:
        """The request ID in an answer to next."""
        return self.headers["lambda-runtime-aws-request-id"]


class ApiClient:
    """One keep-alive connection to AWS_LAMBDA_RUNTIME_API."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(address, timeout=PATIENCE)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Make a call."""
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # Runtime API

    def next(self) -> Answer:
        """GET next."""
        return self.call("GET", f"{_RUNTIME}/invocation/next")

    def respond(self, request_id: str, body: bytes = b"null", **headers: str) -> Answer:
        """POST response."""
        return self._post(f"{_RUNTIME}/invocation/{request_id}/response", body, headers)

    def fail(self, request_id: str, body: bytes = b"{}", **headers: str) -> Answer:
        """POST error."""
        return self._post(f"{_RUNTIME}/invocation/{request_id}/error", body, headers)

    def init_error(self, body: bytes = b"{}", **headers: str) -> Answer:
        """POST init/error."""
        return self._post(f"{_RUNTIME}/init/error", body, headers)

    def restore_next(self) -> Answer:
        """GET restore/next."""
        return self.call("GET", f"{_RUNTIME}/restore/next")

    def restore_error(self, body: bytes = b"{}", **headers: str) -> Answer:
        """POST restore/error."""
        return self._post(f"{_RUNTIME}/restore/error", body, headers)

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        return self.call(
            "POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    # Extensions and Telemetry API

    def register(self, name: str, *events: str, **headers: str) -> Answer:
        """Register an extension."""
        body = json.dumps({"events": events}).encode()
        return self._post(
            f"{_EXTENSION}/register", body, {"lambda-extension-name": name, **headers}
        )

    def event_next(self, identifier: str) -> Answer:
        """GET event/next."""
        headers = {"lambda-extension-identifier": identifier}
        return self.call("GET", f"{_EXTENSION}/event/next", None, headers)

    def extension_error(
        self, identifier: str, kind: str, error_type: str | None = "Extension.Test"
    ) -> Answer:
        """POST init/error or exit/error of an extension."""
        headers = {"lambda-extension-identifier": identifier}
        if error_type is not None:
            headers["lambda-extension-function-error-type"] = error_type
        return self.call("POST", f"{_EXTENSION}/{kind}/error", b"{}", headers)

    def subscribe(self, identifier: str, wish: dict[str, Any], api: str = "telemetry") -> Answer:
        """PUT a subscription to telemetry or logs."""
        path = {"telemetry": "/2022-07-01/telemetry", "logs": "/2020-08-15/logs"}[api]
        headers = {"lambda-extension-identifier": identifier, "content-type": "application/json"}
        return self.call("PUT", path, json.dumps(wish).encode(), headers)


class StreamingPost:
    """POST response in streaming mode, chunk by chunk on a separate socket."""

    def __init__(self, address: str, request_id: str, content_type: str = "text/plain") -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        lines = (
            f"POST {_RUNTIME}/invocation/{request_id}/response HTTP/1.1",
            f"Host: {address}",
            "Lambda-Runtime-Function-Response-Mode: streaming",
            f"Content-Type: {content_type}",
            "Transfer-Encoding: chunked",
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
        )
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")

    def write(self, chunk: bytes) -> None:
        """Send a chunk."""
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def finish(self, trailers: Iterable[tuple[str, str]] = ()) -> int:
        """End the body and return the status of the answer."""
        tail = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        self.socket.sendall(b"0\r\n" + tail.encode() + b"\r\n")
        return self.status()

    def status(self) -> int:
        """Return the status of the answer; 0 if the connection was closed instead."""
        with self.socket.makefile("rb") as stream:
            line = stream.readline()
        self.close()
        return int(line.split()[1]) if line else 0

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
