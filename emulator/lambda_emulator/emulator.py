"""The emulator as a library: a function, its environments, and the ways to call it.

::

    command = [sys.executable, "-m", "awslambdaric", "app.handler"]
    async with Emulator(command=command, task_root=folder) as emulator:
        reply = await emulator.invoke({"hello": "world"})
        assert reply.json() == "hello world"
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Self, Unpack

from lambda_emulator.apis.function_url import FunctionUrl
from lambda_emulator.apis.invoke import InvokeApi, only
from lambda_emulator.fleet import Fleet, InitFailed
from lambda_emulator.function import Function, FunctionArguments
from lambda_emulator.http.faults import Faults
from lambda_emulator.http.screening import INVOKE_LIMITS, URL_LIMITS, Hosts
from lambda_emulator.http.server import Server
from lambda_emulator.platform.logs import LogRecord

__all__ = ["Emulator", "EmulatorArguments", "InitFailed"]


class Emulator(Fleet):
    """One function behind Lambda's APIs.

    ``concurrency`` is the number of environments; further invocations wait in a queue. With
    ``on_demand`` there is one environment at first, and concurrent calls make more. Calls beyond
    ``concurrency`` are then refused with Throttled (Events wait). All servers listen on the address
    ``host``. ``api_port`` and ``url_port`` are the ports of the Invoke API and of the function URL
    (0: a free one), ``runtime_api_port`` is that of the first environment's Runtime API.
    ``allowed_hosts`` are further names by which clients may call these ports. ``faults`` strike
    calls of the Runtime, Extensions and Telemetry APIs. ``url_mode`` is the function URL's invoke
    mode, RESPONSE_STREAM or BUFFERED. ``on_log`` is called with every log record. All other
    arguments are those of ``Function``.

    Raises ValueError for impossible values.
    """

    def __init__(
        self,
        *,
        concurrency: int = 1,
        on_demand: bool = False,
        host: str = "127.0.0.1",
        api_port: int = 0,
        url_port: int = 0,
        runtime_api_port: int = 0,
        allowed_hosts: Collection[str] = (),
        faults: Faults | None = None,
        url_mode: str = "RESPONSE_STREAM",
        on_log: Callable[[LogRecord], None] | None = None,
        **function: Unpack[FunctionArguments],
    ) -> None:
        if url_mode not in ("BUFFERED", "RESPONSE_STREAM"):
            raise ValueError(f"url_mode={url_mode!r}: BUFFERED or RESPONSE_STREAM")
        super().__init__(
            Function(**function),
            concurrency=concurrency,
            on_demand=on_demand,
            host=host,
            runtime_api_port=runtime_api_port,
            allowed_hosts=allowed_hosts,
            faults=faults,
            on_log=on_log,
        )
        self._ports = (api_port, url_port)
        self._api = Server(
            InvokeApi(only(self)).handle, limits=INVOKE_LIMITS, hosts=Hosts(allowed_hosts)
        )
        self._url = Server(
            FunctionUrl(self, buffered=url_mode == "BUFFERED").handle,
            limits=URL_LIMITS,
            hosts=Hosts(allowed_hosts),
        )

    async def __aenter__(self) -> Self:
        try:
            await self._api.start(self._host, self._ports[0])
            await self._url.start(self._host, self._ports[1])
        except BaseException:
            await self.close()
            raise
        return await super().__aenter__()

    async def close(self) -> None:
        """Shut everything down. Invocations that still wait are answered with an error."""
        await super().close()
        await self._api.stop()
        await self._url.stop()

    @property
    def endpoint(self) -> str:
        """The URL for ``aws lambda … --endpoint-url`` and for boto3's endpoint_url."""
        return f"http://{self._api.address}"

    @property
    def function_url(self) -> str:
        """The function URL, with its final slash."""
        return f"http://{self._url.address}/"


class EmulatorArguments(FunctionArguments, total=False):
    """The arguments of ``Emulator``, for callers that pass them on."""

    concurrency: int
    on_demand: bool
    host: str
    api_port: int
    url_port: int
    runtime_api_port: int
    allowed_hosts: Collection[str]
    faults: Faults | None
    url_mode: str
    on_log: Callable[[LogRecord], None] | None
