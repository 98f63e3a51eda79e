"""What the contract tests ask of a plain handler."""

import os
import sys
import time
from typing import Any

print("init")


def echo(event: Any, context: Any) -> Any:
    return event


def fail(event: Any, context: Any) -> Any:
    raise ValueError(event["text"])


def leave(event: Any, context: Any) -> Any:
    os._exit(event["code"])


def talk(event: Any, context: Any) -> Any:
    print(event["text"])
    return None


def sleep(event: Any, context: Any) -> Any:
    time.sleep(event["seconds"])
    return os.getpid()


def describe(event: Any, context: Any) -> Any:
    client = context.client_context
    return {
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "tenant": context.tenant_id,
        "client": client and client.custom,
        "identity": context.identity and context.identity.cognito_identity_id,
        "remaining": context.get_remaining_time_in_millis(),
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "pid": os.getpid(),
        "environment": {name: os.environ.get(name) for name in event.get("names", [])},
    }


def eat(event: Any, context: Any) -> Any:
    hoard = []
    while True:
        hoard.append(os.urandom(1024 * 1024) * 8)


def size(event: Any, context: Any) -> Any:
    return "x" * event["bytes"]


def stderr(event: Any, context: Any) -> Any:
    sys.stderr.write("to stderr\n")
    return None
