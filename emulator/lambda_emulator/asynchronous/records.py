"""What is sent about an event: the invocation record, and the message of a dead-letter queue.

Source: AWS, 'Capturing records of Lambda asynchronous invocations' (Lambda developer guide,
invocation-async-retain-records).
"""

from __future__ import annotations

import json
from typing import Any

from lambda_emulator.asynchronous.configuration import EventConfiguration
from lambda_emulator.asynchronous.store import Event
from lambda_emulator.ground.clock import timestamp
from lambda_emulator.ground.destinations import Parcel, object_key
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
        document["responseContext"] = outcome.context()
        document["responsePayload"] = _json(outcome.payload)
    body = json.dumps(document, ensure_ascii=False)
    key = object_key(f"async/{event.function}", moment)
    return Parcel(body, source, condition == SUCCESS, key, event.trace_id)


def dead_letter(event: Event, outcome: Outcome | None, condition: str) -> Parcel:
    """The event itself, with attributes that tell what has gone wrong.

    ErrorCode is the HTTP status, 200 for a function that has failed; ErrorMessage is the first
    kilobyte of the error.
    """
    status = 200 if outcome is None else outcome.status
    return Parcel(
        event.payload.decode("utf-8", "replace"),
        trace_id=event.trace_id,
        attributes={
            "RequestID": event.request_id,
            "ErrorCode": status,
            "ErrorMessage": _error_message(outcome, condition),
        },
    )


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
