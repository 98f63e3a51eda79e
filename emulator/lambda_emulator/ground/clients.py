"""AWS clients: boto3 in threads, every call bounded, and an endpoint that is away told of once."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 10.0
_WORKERS = 32
_LOCK = threading.Lock()
_INVENTED = {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator"}


class Unreachable(Exception):
    """A service did not answer, or is out of order or busy; it may answer later."""


class Refused(Exception):
    """A service has refused a call; ``code`` is its error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def tell_on_stderr(text: str) -> None:
    """Write a line to the standard error stream."""
    print(f"lambda-emulator: {text}", file=sys.stderr, flush=True)


class Services:
    """Clients of AWS's services.

    With ``endpoint_url`` all services are there; without it boto3 decides (``AWS_ENDPOINT_URL``,
    ``AWS_ENDPOINT_URL_SQS``, profiles, AWS itself). Credentials that are missing are made up, but
    not for AWS itself. ``region`` is used where a call names none. A service that is away is told
    of once, and again when it is back. A call takes 13 seconds at most. ``close`` ends the threads.
    """

    def __init__(
        self,
        *,
        endpoint_url: str | None = None,
        region: str = "us-east-1",
        tell: Callable[[str], None] = tell_on_stderr,
    ) -> None:
        self.region = region
        self._endpoint_url = endpoint_url
        self.tell = tell
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="aws")
        self._clients: dict[tuple[str, str], Any] = {}
        self._away: set[str] = set()

    async def call(
        self, service: str, operation: str, *, region: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Call an operation by its name in boto3 (``send_message``).

        Raises Unreachable and Refused.
        """
        work = (service, operation, region or self.region, parameters)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, self._call, *work)
        except Unreachable as error:
            self._note_absence(service, error)
            raise
        if service in self._away:
            self._away.discard(service)
            self.tell(f"{service} answers again")
        return answer

    def _note_absence(self, service: str, error: Unreachable) -> None:
        if service not in self._away:
            self._away.add(service)
            self.tell(f"{service} does not answer, which is tried again: {error}")

    def _call(
        self, service: str, operation: str, region: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        import botocore.exceptions as errors  # type: ignore[import-untyped]

        try:
            answer: dict[str, Any] = getattr(self._client(service, region), operation)(**parameters)
            return answer
        except errors.ClientError as error:
            raise _translate(error) from None
        except (errors.ParamValidationError, errors.NoCredentialsError) as error:
            raise Refused(type(error).__name__, str(error)) from None
        except Exception as error:
            # Whatever an endpoint sends that is no AWS answer must not end what asks it.
            raise Unreachable(str(error) or type(error).__name__) from None

    def _client(self, service: str, region: str) -> Any:
        with _LOCK:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._make_client(service, region)
            return self._clients[service, region]

    def _make_client(self, service: str, region: str) -> Any:
        client = self._configured(service, region, {})
        if ".amazonaws." in client.meta.endpoint_url:
            return client
        known = _session().get_credentials() is not None
        return self._configured(service, region, {} if known else _INVENTED, "path")

    def _configured(
        self, service: str, region: str, credentials: dict[str, str], addressing: str = "auto"
    ) -> Any:
        from botocore.config import Config  # type: ignore[import-untyped]

        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": 1},
            max_pool_connections=_WORKERS,
            s3={"addressing_style": addressing},
        )
        endpoint = self._endpoint_url
        return _session().client(
            service, region, endpoint_url=endpoint, config=config, **credentials
        )

    def close(self) -> None:
        """Let the threads end; calls under way end by their own limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@functools.cache
def _session() -> Any:
    """The one session, which has read the services' models; it is used under the lock."""
    import boto3  # type: ignore[import-untyped]

    return boto3.Session()


_BUSY = {
    *("Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"),
    *("ProvisionedThroughputExceededException", "LimitExceededException", "SlowDown"),
}


def _translate(error: Any) -> Exception:
    """What a botocore ClientError means: the caller's fault, or one that may pass."""
    details = error.response.get("Error", {})
    code, message = details.get("Code", "Unknown"), details.get("Message", str(error))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or code in _BUSY:
        return Unreachable(f"{code}: {message}")
    return Refused(code, message)
