"""A function of some size, for several invocations at once; it returns the event as it came."""

import importlib

handler = importlib.import_module("imports").handler


async def async_handler(event: object, context: object) -> object:
    return event
