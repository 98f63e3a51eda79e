"""Answers that the Runtime, Extensions and Telemetry APIs share."""

from __future__ import annotations

import json

from lambda_emulator.http.server import Response

JSON = (("content-type", "application/json"),)
_OK = b'{"status":"OK"}\n'


async def accepted(response: Response) -> None:
    """Answer 202, which accepts a report."""
    await response.send(202, JSON, _OK)


async def error(response: Response, status: int, error_type: str, message: str) -> None:
    """Answer with an error's type and message."""
    body = json.dumps({"errorMessage": message, "errorType": error_type}).encode() + b"\n"
    await response.send(status, JSON, body)


async def forbidden(response: Response, error_type: str, message: str) -> None:
    """Answer 403."""
    await error(response, 403, error_type, message)


async def not_found(response: Response) -> None:
    """Answer 404: no API has this path."""
    await response.send(
        404, (("content-type", "text/plain; charset=utf-8"),), b"404 page not found\n"
    )


async def not_allowed(response: Response) -> None:
    """Answer 405: the path does not allow this method."""
    await response.send(405, (), b"")
