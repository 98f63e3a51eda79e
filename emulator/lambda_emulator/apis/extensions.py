"""The Extensions API over HTTP.

Source: AWS, 'Using the Lambda Extensions API to create extensions'.
"""

from __future__ import annotations

import json

from lambda_emulator import strict_json
from lambda_emulator.apis import answers
from lambda_emulator.environment.environment import Environment
from lambda_emulator.http.server import Request, Response
from lambda_emulator.platform.extensions import Refused

_IDENTIFIER = "lambda-extension-identifier"
_ERROR_TYPE = "lambda-extension-function-error-type"
_LARGEST_BODY = 256 * 1024


class ExtensionsApi:
    """The Extensions API of one environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._extensions = environment.extensions
        self._routes = {
            ("POST", "register"): self._register,
            ("GET", "event/next"): self._next,
            ("POST", "init/error"): self._init_error,
            ("POST", "exit/error"): self._exit_error,
        }

    async def handle(self, request: Request, response: Response, path: str) -> None:
        """Serve one call; ``path`` is the part after /2020-01-01/extension/."""
        route = self._routes.get((request.method, path))
        if route is None:
            await answers.not_found(response)
            return
        try:
            await route(request, response)
        except Refused as error:
            await answers.forbidden(response, error.error_type, str(error))

    async def _register(self, request: Request, response: Response) -> None:
        name = request.header("lambda-extension-name")
        if not name:
            raise Refused("Extension.InvalidExtensionName", "Empty extension name")
        events = _events(await request.body(_LARGEST_BODY))
        managed = bool(self._environment.function.max_concurrency)
        extension = self._extensions.register(name, events, managed=managed)
        function = self._environment.function
        answer = {
            "functionName": function.name,
            "functionVersion": function.version,
            "handler": function.handler,
        }
        if "accountId" in (request.header("lambda-extension-accept-feature") or ""):
            answer["accountId"] = function.account_id
        headers = (*answers.JSON, (_IDENTIFIER, extension.id))
        record = {"name": name, "state": "Ready", "events": sorted(extension.events)}
        self._environment.telemetry.platform("platform.extension", lambda: record)
        await response.send(200, headers, json.dumps(answer).encode())

    async def _next(self, request: Request, response: Response) -> None:
        extension = self._extensions.find(request.header(_IDENTIFIER))
        event = await self._extensions.next(extension)
        await response.send(200, (*answers.JSON, (_IDENTIFIER, extension.id)), event)

    async def _init_error(self, request: Request, response: Response) -> None:
        await self._report(request, response, "InitError")

    async def _exit_error(self, request: Request, response: Response) -> None:
        await self._report(request, response, "ExitError")

    async def _report(self, request: Request, response: Response, state: str) -> None:
        extension = self._extensions.find(request.header(_IDENTIFIER))
        error_type = request.header(_ERROR_TYPE)
        if not error_type:
            raise Refused(
                "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"
            )
        await request.body(_LARGEST_BODY)
        self._extensions.report_error(extension, error_type, state)
        await answers.accepted(response)


def _events(body: bytes) -> list[str]:
    try:
        wish = strict_json.decode(body)
    except ValueError as error:
        raise Refused("InvalidRequestFormat", str(error)) from error
    events = wish.get("events", []) or [] if isinstance(wish, dict) else None
    if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
        raise Refused("InvalidRequestFormat", "events should be a list of strings")
    return events
