"""boto3 is imported and not used by this event."""

import boto3  # type: ignore[import-untyped]


def handler(event: object, context: object) -> object:
    return boto3.client("s3") if event == "use" else event
