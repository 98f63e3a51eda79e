"""The service behind its port."""

from __future__ import annotations

from dataclasses import replace

from lambda_emulator.closing import Closing
from lambda_emulator.http.screening import API_LIMITS, Hosts
from lambda_emulator.http.server import Server
from lambda_emulator.platform.logs import LogRecord
from lambda_emulator.service.api import ServiceApi
from lambda_emulator.service.durable import DurableRunner
from lambda_emulator.service.log import FunctionLogs
from lambda_emulator.service.service import Service
from lambda_emulator.service.settings import Settings


class Running(Closing):
    """The service of these settings, as an asynchronous context.

    Raises RunError if its folder cannot be used, and OSError if its port is taken.
    """

    def __init__(self, settings: Settings) -> None:
        self._logs = FunctionLogs()
        self._tell = settings.on_log
        self.settings = replace(settings, on_log=self._log)
        self.service = Service(self.settings)
        self._durable = DurableRunner(self.settings, self.service) if settings.durable else None
        handler = ServiceApi(self.service, self._logs, self._durable).handle
        self._server = Server(handler, limits=API_LIMITS, hosts=Hosts(settings.allowed_hosts))

    def _log(self, name: str, record: LogRecord) -> None:
        self._logs.add(name, record)
        self._tell(name, record)

    @property
    def endpoint(self) -> str:
        """The URL for ``aws lambda … --endpoint-url`` and for boto3's endpoint_url."""
        return f"http://{self._server.address}"

    async def __aenter__(self) -> Running:
        try:
            await self._server.start(self.settings.host, self.settings.port)
            self.service.endpoint = self.service.runtimes.endpoint = self.endpoint
            if self._durable is not None:
                await self._durable.start(self.endpoint)
                self.service.runtimes.durable_endpoint = self._durable.url
            await self.service.__aenter__()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Stop everything; no process and no temporary folder is left."""
        await self._server.stop()
        if self._durable is not None:
            await self._durable.close()
        await self.service.close()
