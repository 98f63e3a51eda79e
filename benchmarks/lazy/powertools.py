"""Powertools' logger, metrics and event handler; the tracer is imported and not used."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer  # noqa: F401 - as in many functions
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

logger = Logger(service="orders")
metrics = Metrics(namespace="orders", service="orders")
app = APIGatewayHttpResolver()


@app.get("/")
def hello() -> dict[str, str]:
    logger.info("hello")
    return {"message": "hello"}


def handler(event: dict[str, Any], context: Any) -> object:
    return app.resolve(event, context)
