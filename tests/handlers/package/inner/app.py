"""A handler in a package, with a relative import."""

from typing import Any

from .words import WORD


def handler(event: Any, context: Any) -> str:
    return f"{WORD} {event} {__name__}"


class Shop:
    @staticmethod
    def handler(event: Any, context: Any) -> str:
        return f"of the class {event}"
