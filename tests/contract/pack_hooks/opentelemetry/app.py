from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider

RequestsInstrumentor().instrument(tracer_provider=TracerProvider())

import requests  # noqa: E402


def handler(event, context):
    return [hasattr(requests.Session.send, "__wrapped__"), requests.Session.send.__name__]
