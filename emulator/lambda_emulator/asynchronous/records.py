"""What is sent about an event: the invocation record, and the message of a dead-letter queue.

Source: AWS, 'Capturing records of Lambda asynchronous invocations' (Lambda developer guide,
invocation-async-retain-records).
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from lambda_emulator.asynchronous.configuration import EventConfiguration
from lambda_emulator.asynchronous.store import Event
from lambda_emulator.ground.destinations import Parcel
from lambda_emulator.ground.invoking import Outcome, arn

SUCCESS = "Success"
RETRIES_EXHAUSTED = "RetriesExhausted"
AGE_EXCEEDED = "EventAgeExceeded"
_MESSAGE_LIMIT = 1024


def invocation_record(
    event: Event,
    configuration: EventConfiguration,
    condition: str,
    outcome: Outcome | None,
    moment: float,
) -> Parcel:
    """The record of an event that is done; ``outcome`` is that of its last invocation, if any."""
    source = arn(configuration.function_arn, event.qualifier)
    document: dict[str, Any] = {
        "version": "1.0",
        "timestamp": timestamp(moment),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": source,
            "condition": condition,
            "approximateInvokeCount": event.invocations,
        },
        "requestPayload": _json(event.payload),
    }
    if outcome is not None:
        document["responseContext"] = response_context(outcome)
        document["responsePayload"] = _json(outcome.payload)
    body = json.dumps(document, ensure_ascii=False)
    return Parcel(body, source, condition == SUCCESS, _key(event.function, moment))


def dead_letter(event: Event, outcome: Outcome | None, condition: str) -> Parcel:
    """The event itself, with attributes that tell what has gone wrong.

    ErrorCode is the HTTP status, 200 for a function that has failed; ErrorMessage is the first
    kilobyte of the error.
    """
    status = 200 if outcome is None else outcome.status
    return Parcel(
        event.payload.decode("utf-8", "replace"),
        attributes={
            "RequestID": event.request_id,
            "ErrorCode": status,
            "ErrorMessage": _error_message(outcome, condition),
        },
    )


def response_context(outcome: Outcome) -> dict[str, Any]:
    """How the function has answered; ``functionError`` is there if it failed."""
    context: dict[str, Any] = {
        "statusCode": outcome.status,
        "executedVersion": outcome.executed_version,
    }
    if outcome.function_error is not None:
        context["functionError"] = outcome.function_error
    return context


def timestamp(moment: float, timespec: str = "milliseconds") -> str:
    """A Unix time as records have it: ``2019-11-14T18:16:05.568Z``."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec=timespec)
    return text.replace("+00:00", "Z")


def _key(function: str, moment: float) -> str:
    when = datetime.fromtimestamp(moment, UTC)
    folder = f"aws/lambda/async/{function}/{when:%Y/%m/%d}"
    return f"{folder}/{when:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        # What is no JSON (an answer that was never sent, say) is shown as text.
        return payload.decode("utf-8", "replace") or None


def _error_message(outcome: Outcome | None, condition: str) -> str:
    text = condition
    if outcome is not None and outcome.failed:
        document = _json(outcome.payload)
        text = document.get("errorMessage", "") if isinstance(document, dict) else str(document)
    elif outcome is not None and outcome.message:
        text = outcome.message
    # SQS refuses an empty attribute.
    return text.encode()[:_MESSAGE_LIMIT].decode("utf-8", "ignore") or condition
