"""The service over HTTP: the Lambda API, and the emulator's own pages below ``/_emulator/``.

``/_emulator/counts`` has the counts as JSON, ``/_emulator/logs/NAME`` a function's log as text
(``?follow`` goes on), ``/_emulator/code/NAME.zip`` archives of functions and layers.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from urllib.parse import parse_qs, unquote

from lambda_emulator.apis.errors import ApiError, not_found, refuse
from lambda_emulator.apis.invoke import InvokeApi
from lambda_emulator.http.server import BodyTooLarge, Disconnected, Request, Response
from lambda_emulator.project.terminal import readable
from lambda_emulator.service.archives import LARGEST_UPLOAD
from lambda_emulator.service.durable import DurableRunner
from lambda_emulator.service.log import FunctionLogs
from lambda_emulator.service.operations.table import DURABLE, do
from lambda_emulator.service.service import Service

_OWN = "/_emulator/"
_ARCHIVE = re.compile(r"code/([0-9a-f]{64})\.zip")
_JSON = ("content-type", "application/json")
_TEXT = ("content-type", "text/plain; charset=utf-8")


_NONE = {"Invocations": 0, "Errors": 0, "Throttles": 0}


class ServiceApi:
    """The handler of the service's port."""

    def __init__(
        self, service: Service, logs: FunctionLogs, durable: DurableRunner | None = None
    ) -> None:
        self._service = service
        self._durable = durable
        self._logs = logs
        self._invoke = InvokeApi(service)

    async def handle(self, request: Request, response: Response) -> None:
        """Serve one request."""
        if self._durable is not None and await self._durable.serve(request, response):
            return
        if await self._invoke.serve(request, response):
            return
        try:
            if request.path.startswith(_OWN):
                await self._serve_own(request, response, request.path[len(_OWN) :])
            else:
                await self._serve_operation(request, response)
        except ApiError as error:
            await refuse(response, error)
        except BodyTooLarge:
            text = f"Request must be smaller than {LARGEST_UPLOAD} bytes"
            await refuse(response, ApiError(413, "RequestTooLargeException", text))

    async def _serve_operation(self, request: Request, response: Response) -> None:
        model = self._service.model
        body = await request.body(LARGEST_UPLOAD)
        operation, labels = model.find(request.method, request.path, request.query)
        if operation.name == "InvokeAsync":
            await self._invoke_async(response, labels["FunctionName"], body)
            return
        if operation.name in DURABLE:
            if self._durable is not None:
                await self._durable.forward(request, response, body)
                return
            text = f"{operation.name}: start the emulator with --durable"
            raise ApiError(501, "NotImplementedException", text)
        values = model.read(operation, labels, request.query, request.header, body)
        answer = await do(self._service, operation.name, values)
        status, content = model.write(operation, answer)
        await response.send(status, [_JSON, ("x-amzn-requestid", str(uuid.uuid4()))], content)

    async def _invoke_async(self, response: Response, name: str, event: bytes) -> None:
        self._service.find(name, None).send(event or b"{}")
        await response.send(202, [_JSON], b'{"Status":202}')

    # the emulator's own

    async def _serve_own(self, request: Request, response: Response, path: str) -> None:
        if request.method != "GET":
            raise ApiError(405, "MethodNotAllowedException", "use GET")
        await request.body(0)
        if path == "counts":
            await response.send(200, [_JSON], json.dumps(self._counts(), indent=1).encode())
        elif path.startswith("logs/"):
            await self._send_log(request, response, unquote(path[len("logs/") :]))
        elif match := _ARCHIVE.fullmatch(path):
            await self._send_archive(response, match[1])
        else:
            raise not_found(f"{request.path} is none of counts, logs/NAME, code/NAME.zip")

    def _counts(self) -> dict[str, object]:
        service = self._service
        counted = service.counts.document()
        names = sorted({*service.functions, *counted["functions"]})
        mappings = sorted({*service.mappings, *counted["eventSourceMappings"]})
        return {
            "functions": {name: {**_NONE, **service.counts.of(name)} for name in names},
            "eventSourceMappings": {one: service.counts.of_mapping(one) for one in mappings},
            "account": {
                "ConcurrentExecutions": sum(service.concurrency.running.values()),
                "UnreservedConcurrentExecutions": service.concurrency.running_unreserved,
            },
        }

    async def _send_log(self, request: Request, response: Response, name: str) -> None:
        document, _ = self._service.document(name)
        follow = "follow" in parse_qs(request.query, keep_blank_values=True)
        connection = request.connection
        records = self._logs.read(
            document["name"], follow=follow, wanted=lambda: not connection.closed
        )
        await response.start(200, [_TEXT])
        try:
            async for record in records:
                text = readable(record)
                if text:
                    await response.write(f"{text}\n".encode())
            await response.finish()
        except Disconnected:
            return

    async def _send_archive(self, response: Response, name: str) -> None:
        path = self._service.archives.path(name)
        if not path.is_file():
            raise not_found(f"there is no archive {name}")
        data = await asyncio.to_thread(path.read_bytes)
        await response.send(200, [("content-type", "application/zip")], data)
