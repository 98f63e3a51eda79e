"""A collector of telemetry that keeps its requests. It can be slow, or answer with errors."""

from __future__ import annotations

import http.server
import json
import threading
import time
from types import TracebackType
from typing import Any, Self


class Collector:
    """Listens on a free port of loopback, or on ``port``.

    ``statuses`` are the statuses of the next answers; all later answers are 200. Each answer takes
    ``delay`` seconds.
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
                """Print nothing."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                """Ignore clients that leave early: they are part of the tests."""

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
        """The port of the server."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def logs(self) -> list[dict[str, Any]]:
        """The received OTLP log records."""
        return [
            record
            for path, body in self.bodies
            if path == "/v1/logs"
            for resource in body["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def lines(self) -> list[str]:
        """The texts of the received log records."""
        return [record["body"]["stringValue"] for record in self.logs()]

    def metrics(self) -> list[dict[str, Any]]:
        """The received OTLP metrics."""
        return [
            metric
            for path, body in self.bodies
            if path == "/v1/metrics"
            for resource in body["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        ]
