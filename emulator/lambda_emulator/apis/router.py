"""Passes each request to the API that its path belongs to."""

from __future__ import annotations

from lambda_emulator.apis import answers
from lambda_emulator.apis.extensions import ExtensionsApi
from lambda_emulator.apis.runtime import RuntimeApi
from lambda_emulator.apis.telemetry import TelemetryApi
from lambda_emulator.environment.environment import Environment
from lambda_emulator.http.server import Request, Response


class Router:
    """The handler of all requests to AWS_LAMBDA_RUNTIME_API."""

    def __init__(self, environment: Environment) -> None:
        runtime = RuntimeApi(environment)
        extensions = ExtensionsApi(environment)
        telemetry = TelemetryApi(environment)
        self._apis = {
            "/2018-06-01/runtime/": runtime.handle,
            "/2020-01-01/extension/": extensions.handle,
            "/2020-08-15/logs": telemetry.handle_logs,
            "/2022-07-01/telemetry": telemetry.handle_telemetry,
        }

    async def handle(self, request: Request, response: Response) -> None:
        """Pass the request to its API; answer 404 if there is none."""
        for prefix, handler in self._apis.items():
            if request.path.startswith(prefix):
                await handler(request, response, request.path[len(prefix) :])
                return
        await answers.not_found(response)


def classify(method: str, path: str) -> str:
    """The exchange's name for a ``Fault``'s ``call``: the last words of the path."""
    words = path.strip("/").split("/")
    if words[-1] in ("next", "error") and words[-2:-1] in (
        ["init"],
        ["exit"],
        ["restore"],
        ["event"],
    ):
        return "/".join(words[-2:])
    return words[-1]
