"""What may be registered, and what is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lambda_runtime
from lambda_runtime.extensions import Extension, ExtensionError, InternalExtension

OF_THE_RUNTIME = ("on_fork", "on_restore", "on_shutdown", "on_snapshot")


def decorators(name: str) -> dict[str, Callable[[Any], object]]:
    """All that an extension of this name has."""
    external = Extension(name)
    return {
        "on_init": external.on_init,
        "on_invoke": external.on_invoke,
        "on_shutdown": external.on_shutdown,
        "on_telemetry()": external.on_telemetry(),
        "on_logs()": external.on_logs(),
        "on_invoke, internal": InternalExtension(name).on_invoke,
    }


@pytest.mark.parametrize("name", OF_THE_RUNTIME)
@pytest.mark.parametrize("hook", [None, 3, "close"])
def test_hooks_of_the_runtime_have_to_be_functions(name: str, hook: object) -> None:
    with pytest.raises(TypeError, match=f"{name}: {hook!r} is not a function; write @{name} above"):
        getattr(lambda_runtime, name)(hook)


@pytest.mark.parametrize("name", decorators("any"))
def test_hooks_of_an_extension_have_to_be_plain_functions(name: str) -> None:
    async def awaited(event: object) -> None:
        raise AssertionError

    decorator = decorators("any")[name]
    shown = name.partition(",")[0].replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(TypeError, match=f"^{shown}: None is not a function"):
        decorator(None)
    with pytest.raises(TypeError, match=f"^{shown}: .*awaited is async, and an extension has no"):
        decorator(awaited)
    assert decorator(print) is print


def test_a_subscription_comes_before_the_first_event() -> None:
    extension = Extension("any")
    decorator = extension.on_telemetry()
    extension._started = True
    with pytest.raises(ExtensionError, match="on_telemetry: subscribe before the first event"):
        decorator(print)
