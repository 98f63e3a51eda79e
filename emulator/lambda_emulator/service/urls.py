"""Function URLs: each has a port of its own, as a path would be the function's."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

from lambda_emulator.apis.function_url import Cors, FunctionUrl
from lambda_emulator.function import Function
from lambda_emulator.http.screening import URL_LIMITS, Hosts
from lambda_emulator.http.server import Server
from lambda_emulator.invocation import Reply, StreamReply
from lambda_emulator.invoker import Finder
from lambda_emulator.service.settings import Settings

Document = dict[str, Any]


class Urls:
    """The servers of all function URLs; ``finder`` knows the functions."""

    def __init__(self, settings: Settings, finder: Finder) -> None:
        self._settings = settings
        self._finder = finder
        self._servers: dict[tuple[str, str], Server] = {}

    async def open(self, document: Document, qualifier: str) -> None:
        """Listen for a function URL and note its address; the port of before if it is free."""
        await self.shut(document, qualifier)
        url = document["urls"][qualifier]
        settings = self._settings
        cors = Cors.of(url.get("Cors"))
        handler = FunctionUrl(
            _Named(self._finder, document["name"], qualifier),
            buffered=url.get("InvokeMode") != "RESPONSE_STREAM",
            cors=cors,
            signed=url["AuthType"] == "AWS_IAM",
        )
        origins = cors.origins if cors else ()
        hosts = Hosts(settings.allowed_hosts, origins=origins)
        server = Server(handler.handle, limits=URL_LIMITS, hosts=hosts)
        before = urlsplit(url.get("FunctionUrl", "")).port or 0
        try:
            await server.start(settings.host, before)
        except OSError:
            await server.start(settings.host)
        self._servers[document["name"], qualifier] = server
        url["FunctionUrl"] = f"http://{server.address}/"

    async def shut(self, document: Document, qualifier: str) -> None:
        """Listen no longer."""
        server = self._servers.pop((document["name"], qualifier), None)
        if server is not None:
            await server.stop()

    async def close(self) -> None:
        """Stop all."""
        servers = list(self._servers.values())
        self._servers.clear()
        for server in servers:
            await server.stop()


class _Named:
    """A function by its name: which version answers is decided at each call."""

    def __init__(self, finder: Finder, name: str, qualifier: str) -> None:
        self._finder = finder
        self._name = name
        self._qualifier = None if qualifier == "$LATEST" else qualifier

    @property
    def function(self) -> Function:
        return self._finder.find(self._name, self._qualifier).function

    async def invoke(self, event: object, **options: Any) -> Reply:
        return await self._finder.find(self._name, self._qualifier).invoke(event, **options)

    def stream(self, event: object, **options: Any) -> AbstractAsyncContextManager[StreamReply]:
        return self._finder.find(self._name, self._qualifier).stream(event, **options)

    def send(self, event: object, **options: Any) -> None:
        self._finder.find(self._name, self._qualifier).send(event, **options)
