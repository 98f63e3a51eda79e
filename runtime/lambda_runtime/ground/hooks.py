"""Checks hooks when they are registered, so that an error points to the user's decorator."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Hook = TypeVar("Hook")

_COROUTINE = 0x80  # co_flags, as the module inspect names it


def check(decorator: str, hook: "Hook", *, may_be_async: bool = True) -> "Hook":
    """Return the hook. Raises TypeError, which names the decorator, if it cannot be a hook."""
    if not callable(hook):
        raise TypeError(
            f"{decorator}: {hook!r:.100} is not a function; write @{decorator} above one, without "
            "parentheses, or give the function itself"
        )
    code = getattr(hook, "__code__", None)
    if not may_be_async and code is not None and code.co_flags & _COROUTINE:
        raise TypeError(
            f"{decorator}: {hook.__qualname__} is async, and an extension has no event loop; make "  # type: ignore[attr-defined]
            "it a plain function, which may call asyncio.run"
        )
    return hook
