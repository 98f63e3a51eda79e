"""A collector of telemetry that keeps what it gets, and can be told to be down, slow or grumpy."""

from __future__ import annotations

import http.server
import json
import threading
import time
from types import TracebackType
from typing import Any, Self


class Collector:
    """Listens on a free port of loopback. ``statuses`` are the next answers, then it is 200.

    ``delay`` seconds pass before each answer. With ``port`` it comes up where another was.
    """

    def __init__(self, port: int = 0) -> None:
        self.bodies: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.delay = 0.0
        self.requests = 0
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests += 1
                time.sleep(collector.delay)
                status = collector.statuses.pop(0) if collector.statuses else 200
                if status == 200:
                    collector.headers.append(dict(self.headers))
                    collector.bodies.append((self.path, json.loads(body)))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Say nothing on the terminal."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                """Clients that leave early are part of the tests."""

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def logs(self) -> list[dict[str, Any]]:
        """The OTLP log records that came."""
        return [
            record
            for path, body in self.bodies
            if path == "/v1/logs"
            for resource in body["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def lines(self) -> list[str]:
        """Their texts."""
        return [record["body"]["stringValue"] for record in self.logs()]

    def metrics(self) -> list[dict[str, Any]]:
        """The OTLP metrics that came."""
        return [
            metric
            for path, body in self.bodies
            if path == "/v1/metrics"
            for resource in body["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        ]
