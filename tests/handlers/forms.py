"""Handlers that are not plain functions."""

import functools
from typing import Any


def _greet(greeting: str, event: Any, context: Any) -> str:
    return f"{greeting}, {event}"


class Shop:
    @staticmethod
    def static(event: Any, context: Any) -> str:
        return f"static {event}"

    def method(self, event: Any, context: Any) -> str:
        return f"bound {event}"

    def __call__(self, event: Any, context: Any) -> str:
        return f"instance {event}"


class Made:
    """A class as the handler: each invocation makes an instance, which is the result."""

    def __init__(self, event: Any, context: Any) -> None:
        self.event = event

    def _asdict(self) -> dict[str, Any]:
        return {"made": self.event}


instance = Shop()
method = instance.method
partial = functools.partial(_greet, "hello")
shorter = lambda event, context: f"lambda {event}"  # noqa: E731


@functools.lru_cache
def cached(event: Any, context: Any) -> str:
    return f"cached {event}"


def one_argument(event: Any) -> str:
    return f"never called with {event}"


async def coroutine(event: Any, context: Any) -> str:
    return f"awaited {event}"


def generator(event: Any, context: Any) -> Any:
    yield event


not_callable = {"a": "dict"}


def __getattr__(name: str) -> Any:
    if name == "made_late":
        return lambda event, context: f"late {event}"
    raise AttributeError(name)
