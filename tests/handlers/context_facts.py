"""What the context object says and does."""

import time
from collections.abc import Callable
from typing import Any

_before: list[Any] = []

_NAMES = (
    "aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
    "function_version", "invoked_function_arn", "tenant_id", "client_context", "identity",
)  # fmt: skip


def _representation(context: Any) -> Any:
    return repr(context)


def _types(context: Any) -> Any:
    return {name: type(getattr(context, name)).__name__ for name in _NAMES}


def _values(context: Any) -> Any:
    return {name: str(getattr(context, name)) for name in _NAMES}


def _public(context: Any) -> Any:
    return sorted(name for name in dir(context) if not name.startswith("_"))


def _remaining(context: Any) -> Any:
    first = context.get_remaining_time_in_millis()
    time.sleep(0.01)
    second = context.get_remaining_time_in_millis()
    return [type(first).__name__, 0 < second < first <= 10_000, first - second >= 9]


def _identity(context: Any) -> Any:
    identity = context.identity
    return [
        repr(identity),
        type(identity).__name__,
        identity.cognito_identity_id,
        identity.cognito_identity_pool_id,
    ]


def _client_context(context: Any) -> Any:
    client_context = context.client_context
    if client_context is None:
        return None
    client = client_context.client
    return {
        "custom": client_context.custom,
        "env": client_context.env,
        "client": client and [
            client.installation_id, client.app_title, client.app_version_name,
            client.app_version_code, client.app_package_name,
        ],
        "has w3c": hasattr(client_context, "w3c"),
    }  # fmt: skip


def _client_representation(context: Any) -> Any:
    return repr(context.client_context)


def _w3c(context: Any) -> Any:
    fields = context.w3c()
    fields["mine"] = "changed"
    return [fields, context.w3c()]


def _settable(context: Any) -> Any:
    context.mine = "kept"
    context.function_name = "renamed"
    return [context.mine, context.function_name]


def _fresh(context: Any) -> Any:
    _before.append(context)
    return [hasattr(context, "mine"), len(_before), len({id(each) for each in _before})]


def _log(context: Any) -> Any:
    context.log("with a newline\n")
    context.log({"a": 1})
    context.log("\n")
    context.log("without a newline")


FACTS: dict[str, Callable[[Any], Any]] = {
    function.__name__[1:].replace("_", "-"): function
    for function in (
        _representation, _types, _values, _public, _remaining, _identity, _client_context,
        _client_representation, _w3c, _settable, _fresh, _log,
    )
}  # fmt: skip


def handler(event: Any, context: Any) -> Any:
    return FACTS[event](context)
