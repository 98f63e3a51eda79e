"""The errors that the Lambda service answers."""

from __future__ import annotations

import json
from typing import Any

from lambda_emulator.http.server import Response
from lambda_emulator.invocation import Throttled


class ApiError(Exception):
    """An error of the service itself: its HTTP status, its name, str(), and further members."""

    def __init__(self, status: int, name: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.members = members

    @classmethod
    def of(cls, throttled: Throttled) -> ApiError:
        """The answer to a call that was refused because of a limit on concurrency."""
        name = "TooManyRequestsException"
        return cls(429, name, "Rate Exceeded.", Reason=throttled.reason, retryAfterSeconds="1")


async def refuse(response: Response, error: ApiError) -> None:
    """Answer with the error as the service does."""
    document = {"Type": "User", "Message": str(error), "message": str(error), **error.members}
    retry = document.pop("retryAfterSeconds", None)
    headers = [("content-type", "application/json"), ("x-amzn-errortype", error.name)]
    if retry is not None:
        headers.append(("retry-after", retry))
    await response.send(error.status, headers, json.dumps(document).encode())


def invalid(message: str) -> ApiError:
    """A value that makes no sense, or not together with the others."""
    return ApiError(400, "InvalidParameterValueException", message, Type="User")


def not_found(message: str) -> ApiError:
    """A resource that there is not."""
    return ApiError(404, "ResourceNotFoundException", message, Type="User")


def conflict(message: str) -> ApiError:
    """A resource that is there already, or is in use."""
    return ApiError(409, "ResourceConflictException", message, Type="User")
