"""A larger function for several invocations at once. It returns its event."""

import importlib

handler = importlib.import_module("imports").handler


async def async_handler(event: object, context: object) -> object:
    return event
