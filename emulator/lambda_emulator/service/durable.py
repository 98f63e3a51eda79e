"""Durable functions, by AWS's own local runner in a process beside this one.

The runner keeps executions and decides when a function is invoked; it speaks the durable part of
the Lambda API. So those operations are passed on to it, a call of a durable function starts an
execution there, and the functions themselves call it instead of this emulator.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from lambda_emulator.apis.errors import ApiError, invalid, refuse
from lambda_emulator.apis.invoke import choice, invoked_function, read_event
from lambda_emulator.http.server import Request, Response
from lambda_emulator.invoker import Finder
from lambda_emulator.project.errors import RunError
from lambda_emulator.service.settings import Settings
from lambda_emulator.service.target import Target

Document = dict[str, Any]
_MODULE = "aws_durable_execution_sdk_python_testing.cli"
_INSTALL = "pip install aws-durable-execution-sdk-python-testing"
# What the runner marks its own invocations of the function with.
_FROM_RUNNER = "x-dex-handler-invoke"
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_RETENTION_DAYS = 14
_LONGEST_SYNCHRONOUS = 900


class DurableRunner:
    """The runner's process, and what is passed on to it; ``url`` is where functions call it."""

    def __init__(self, settings: Settings, finder: Finder) -> None:
        self._settings = settings
        self._finder = finder
        self._process: asyncio.subprocess.Process | None = None
        self._client = httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(60.0, connect=5.0))
        self.url = ""

    async def start(self, endpoint: str) -> None:
        """Start the runner for the functions of ``endpoint``. Raises RunError."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", _MODULE, "start-server", "--port", str(port)]
        command += ["--host", "127.0.0.1", "--lambda-endpoint", endpoint, "--log-level", "ERROR"]
        command += ["--local-runner-endpoint", self.url]
        command += ["--local-runner-region", self._settings.region]
        if self._settings.state is not None:
            path = Path(self._settings.state).absolute() / "durable.sqlite"
            command += ["--store-type", "sqlite", "--store-path", str(path)]
        dummies = {"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator"}
        self._process = await asyncio.create_subprocess_exec(
            *command,
            env=dummies | os.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        await self._until_healthy(self._process)

    async def _until_healthy(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while process.returncode is None:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await self._client.get(f"{self.url}/health")).status_code == 200:
                            return
                    await asyncio.sleep(_LOOK_SECONDS)
        await self.close()
        raise RunError(f"--durable: the runner does not start; is it installed? ({_INSTALL})")

    async def close(self) -> None:
        """End the runner."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        await self._client.aclose()

    # the API

    async def forward(self, request: Request, response: Response, body: bytes) -> None:
        """Have the runner answer an operation. Raises ApiError if it does not."""
        target = request.path + (f"?{request.query}" if request.query else "")
        answer = await self._ask(request.method, target, body)
        kept = ("content-type", "x-amzn-errortype")
        headers = [(name, answer.headers[name]) for name in kept if name in answer.headers]
        await response.send(answer.status_code, headers, answer.content)

    async def _ask(self, method: str, target: str, body: bytes = b"") -> httpx.Response:
        try:
            headers = {"content-type": "application/json"} if body else {}
            return await self._client.request(
                method, self.url + target, content=body, headers=headers
            )
        except httpx.HTTPError as error:
            text = f"the runner of durable functions does not answer: {error!r}"
            raise ApiError(500, "ServiceException", text) from error

    async def serve(self, request: Request, response: Response) -> bool:
        """Serve a call of a durable function that is not the runner's own; tell whether it is."""
        named = invoked_function(request)
        if named is None or request.header(_FROM_RUNNER) is not None:
            return False
        try:
            target = self._finder.find(*named)
        except ApiError:
            return False  # told by who serves the others
        if not isinstance(target, Target) or "DurableConfig" not in target.configuration:
            return False
        try:
            await self._execute(request, response, target)
        except ApiError as error:
            await refuse(response, error)
        return True

    async def _execute(self, request: Request, response: Response, target: Target) -> None:
        kind = choice(request, "x-amz-invocation-type", ("RequestResponse", "Event", "DryRun"))
        event = await read_event(request, kind)
        settings = target.configuration["DurableConfig"]
        seconds = settings.get("ExecutionTimeout", _LONGEST_SYNCHRONOUS)
        if target.qualifier is None:
            raise invalid("You cannot invoke a durable function using an unqualified ARN: name a "
                          "version, an alias or $LATEST")  # fmt: skip
        if kind == "RequestResponse" and seconds > _LONGEST_SYNCHRONOUS:
            raise invalid("You cannot synchronously invoke a durable function with an execution "
                          "timeout greater than 15 minutes")  # fmt: skip
        if kind == "DryRun":
            await response.send(204, [], b"")
            return
        arn = await self._begin(request, target, event.decode(), settings, seconds)
        headers = [
            ("content-type", "application/json"),
            ("x-amz-durable-execution-arn", arn),
            ("x-amz-executed-version", target.configuration["Version"]),
        ]
        if kind == "Event":
            await response.send(202, headers, b"")
            return
        error, payload = _outcome(await self._end(arn, seconds))
        await response.send(200, headers + error, payload)

    async def _begin(
        self, request: Request, target: Target, event: str, settings: Document, seconds: int
    ) -> str:
        """Start an execution; its ARN."""
        wanted = {
            "AccountId": self._settings.account_id,
            "FunctionName": target.name,
            "FunctionQualifier": target.qualifier,
            "ExecutionName": request.header("x-amz-durable-execution-name") or str(uuid.uuid4()),
            "ExecutionTimeoutSeconds": seconds,
            "ExecutionRetentionPeriodDays": settings.get("RetentionPeriodInDays", _RETENTION_DAYS),
            "Input": event,
        }
        body = json.dumps(wanted).encode()
        answer = await self._ask("POST", "/start-durable-execution", body)
        if answer.status_code >= 300:
            name = answer.headers.get("x-amzn-errortype", "InvalidParameterValueException")
            raise ApiError(answer.status_code, name, answer.text[:1000])
        return str(answer.json()["ExecutionArn"])

    async def _end(self, arn: str, seconds: int) -> Document:
        """The execution when it has ended."""
        path = f"/2025-12-01/durable-executions/{quote(arn, safe='')}"
        try:
            async with asyncio.timeout(seconds + _STOP_SECONDS):
                while True:
                    answer = await self._ask("GET", path)
                    if answer.status_code != 200:
                        raise ApiError(500, "ServiceException", answer.text[:1000])
                    execution: Document = answer.json()
                    if execution["Status"] != "RUNNING":
                        return execution
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return {"Status": "TIMED_OUT"}


def _outcome(execution: Document) -> tuple[list[tuple[str, str]], bytes]:
    """The header of an error, if there is one, and the payload of the answer."""
    if execution["Status"] == "SUCCEEDED":
        return [], (execution.get("Result") or "null").encode()
    error = execution.get("Error") or {}
    document = {
        "errorType": error.get("ErrorType") or f"DurableExecution.{execution['Status']}",
        "errorMessage": error.get("ErrorMessage") or f"the execution is {execution['Status']}",
    }
    return [("x-amz-function-error", "Unhandled")], json.dumps(document).encode()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
