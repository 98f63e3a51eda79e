"""The Telemetry API and the older Logs API: extensions subscribe to telemetry."""

from __future__ import annotations

from lambda_emulator.apis import answers
from lambda_emulator.environment.environment import Environment
from lambda_emulator.http.server import Request, Response
from lambda_emulator.platform.extensions import Refused
from lambda_emulator.platform.subscription import InvalidSubscription, Subscription

_LARGEST_BODY = 256 * 1024


class TelemetryApi:
    """``PUT /2022-07-01/telemetry`` and ``PUT /2020-08-15/logs`` of one environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    async def handle_telemetry(self, request: Request, response: Response, path: str) -> None:
        """Serve one call of the Telemetry API."""
        await self._handle(request, response, path, "telemetry")

    async def handle_logs(self, request: Request, response: Response, path: str) -> None:
        """Serve one call of the Logs API."""
        await self._handle(request, response, path, "logs")

    async def _handle(self, request: Request, response: Response, path: str, api: str) -> None:
        if path not in ("", "/"):
            await answers.not_found(response)
        elif request.method != "PUT":
            await answers.not_allowed(response)
        else:
            await self._subscribe(request, response, api)

    async def _subscribe(self, request: Request, response: Response, api: str) -> None:
        try:
            identifier = request.header("lambda-extension-identifier")
            extension = self._environment.extensions.find(identifier)
            subscription = Subscription.parse(
                extension.name, api, await request.body(_LARGEST_BODY)
            )
        except Refused as error:
            await answers.forbidden(response, error.error_type, str(error))
            return
        except InvalidSubscription as error:
            await answers.error(response, 400, "ValidationError", str(error))
            return
        if not self._environment.telemetry.open:
            name = api.capitalize()
            await answers.forbidden(
                response, f"{name}.SubscriptionClosed", f"{name} API subscription is closed already"
            )
            return
        self._environment.telemetry.subscribe(subscription)
        await response.send(200, answers.JSON, b'"OK"')
