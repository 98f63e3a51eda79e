"""The second argument of every handler.

Source: "Using the Lambda context object to retrieve Python function information" in the AWS Lambda
Developer Guide.
"""

import time

from lambda_runtime import payload
from lambda_runtime.ground.settings import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_runtime.runtime_api.client import Invocation

# Read once: they never change in a process, and reading five variables costs more than the rest.
_LOG_GROUP_NAME = get("AWS_LAMBDA_LOG_GROUP_NAME")
_LOG_STREAM_NAME = get("AWS_LAMBDA_LOG_STREAM_NAME")
_FUNCTION_NAME = get("AWS_LAMBDA_FUNCTION_NAME")
_MEMORY_SIZE = get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
_FUNCTION_VERSION = get("AWS_LAMBDA_FUNCTION_VERSION")

_new = object.__new__

_W3C_FIELDS = ("traceparent", "tracestate", "baggage")
_NO_FIELDS: "Mapping[str, str]" = {}


class _SlotsRepr:
    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return _show(self, self.__slots__)


class CognitoIdentity(_SlotsRepr):
    """The caller's identity in Amazon Cognito; both fields are None for other callers."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, fields: dict[str, object]) -> None:
        self.cognito_identity_id = fields.get("cognitoIdentityId")
        self.cognito_identity_pool_id = fields.get("cognitoIdentityPoolId")


class Client(_SlotsRepr):
    """The calling mobile app, as the AWS Mobile SDK describes it."""

    __slots__ = (
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    )

    def __init__(self, fields: dict[str, object]) -> None:
        for name in self.__slots__:
            setattr(self, name, fields.get(name))


class ClientContext(_SlotsRepr):
    """The caller's client context: the mappings ``custom`` and ``env``, and ``client``."""

    __slots__ = ("custom", "env", "client")

    def __init__(self, fields: dict[str, object]) -> None:
        self.custom = fields.get("custom")
        self.env = fields.get("env")
        client = fields.get("client")
        self.client = None if client is None else Client(_mapping(client, "client"))


_SHOWN = (
    "aws_request_id",
    "log_group_name",
    "log_stream_name",
    "function_name",
    "memory_limit_in_mb",
    "function_version",
    "invoked_function_arn",
    "client_context",
    "identity",
    "tenant_id",
)


class LambdaContext:
    """The facts of one invocation: its caller, its function, its deadline.

    Each invocation has its own object, and user code may set new attributes. ``deadline`` is Unix
    time in milliseconds, ``trace_id`` the X-Ray trace header or None. ``memory_limit_in_mb`` is a
    str, as on AWS's own runtime. Tests can make one with awslambdaric's arguments.
    """

    _w3c = _NO_FIELDS

    def __init__(
        self,
        invoke_id: str,
        client_context: dict[str, object] | None,
        cognito_identity: dict[str, object] | None,
        epoch_deadline_time_in_ms: int,
        invoked_function_arn: str | None = None,
        tenant_id: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        self.aws_request_id = invoke_id
        self.log_group_name = _LOG_GROUP_NAME
        self.log_stream_name = _LOG_STREAM_NAME
        self.function_name = _FUNCTION_NAME
        self.memory_limit_in_mb = _MEMORY_SIZE
        self.function_version = _FUNCTION_VERSION
        self.invoked_function_arn = invoked_function_arn
        self.tenant_id = tenant_id
        self.trace_id = trace_id
        self.deadline = epoch_deadline_time_in_ms
        self.client_context: ClientContext | None = None
        if client_context is not None:
            self._w3c = _take_w3c(client_context)
            self.client_context = ClientContext(client_context)
        self.identity = CognitoIdentity(cognito_identity or {})

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends this invocation; 0 when that time has come."""
        return max(0, self.deadline - int(time.time() * 1000))

    def w3c(self) -> dict[str, str]:
        """The W3C trace context of the invocation: ``traceparent``, ``tracestate``, ``baggage``."""
        return dict(self._w3c)

    def log(self, msg: object) -> None:
        """Write the text to the log unchanged."""
        import sys

        from lambda_runtime import logs

        if "logging" in sys.modules:
            from lambda_runtime.logs.handlers import write_through_logging

            write_through_logging(str(msg))
        else:
            logs.sink.log(str(msg))

    def __repr__(self) -> str:
        return _show(self, _SHOWN)


def make(invocation: "Invocation") -> LambdaContext:
    """Make the context of an invocation.

    Raises FaultException (``Runtime.LambdaContextUnmarshalError``) if its client context or its
    Cognito identity is not a JSON object.
    """
    if invocation.client_context or invocation.cognito_identity:
        return LambdaContext(
            invocation.request_id,
            _parse(invocation.client_context, "Client Context")
            if invocation.client_context
            else None,
            _parse(invocation.cognito_identity, "Cognito Identity")
            if invocation.cognito_identity
            else None,
            invocation.deadline_ms,
            invocation.function_arn,
            invocation.tenant_id,
            invocation.trace_id,
        )
    # Nearly every invocation: what the two ``__init__`` do, without calling them.
    context = _new(LambdaContext)
    context.aws_request_id = invocation.request_id
    context.log_group_name = _LOG_GROUP_NAME
    context.log_stream_name = _LOG_STREAM_NAME
    context.function_name = _FUNCTION_NAME
    context.memory_limit_in_mb = _MEMORY_SIZE
    context.function_version = _FUNCTION_VERSION
    context.invoked_function_arn = invocation.function_arn
    context.tenant_id = invocation.tenant_id
    context.trace_id = invocation.trace_id
    context.deadline = invocation.deadline_ms
    context.client_context = None
    context.identity = identity = _new(CognitoIdentity)
    identity.cognito_identity_id = identity.cognito_identity_pool_id = None
    return context


def _show(thing: object, names: tuple[str, ...]) -> str:
    shown = ",".join(f"{name}={getattr(thing, name)}" for name in names)
    return f"{type(thing).__name__}([{shown}])"


def _parse(header: str, name: str) -> dict[str, object] | None:
    try:
        parsed = payload.decode(header)
    except Exception as error:
        from lambda_runtime.ground.faults import FaultException

        raise FaultException(
            "Runtime.LambdaContextUnmarshalError", f"Unable to parse {name} JSON: {error}"
        ) from None
    return None if parsed is None else _mapping(parsed, name)


def _mapping(value: object, name: str) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    from lambda_runtime.ground.faults import FaultException

    raise FaultException(
        "Runtime.LambdaContextUnmarshalError",
        f"Unable to parse {name} JSON: it is {type(value).__name__}, not an object",
    )


def _take_w3c(fields: dict[str, object]) -> dict[str, str]:
    """Take the trace fields out of the client context, where user code does not expect them."""
    given = fields.pop("w3c", None)
    if not isinstance(given, dict):
        return {}
    return {name: value for name in _W3C_FIELDS if isinstance(value := given.get(name), str)}
