"""Helps to test and develop a function: makes a context, and explains how to debug.

Lambda never loads this module.
"""

import time
import uuid
from typing import NoReturn

from lambda_runtime.context import LambdaContext


def make_context(
    *,
    function_name: str = "function",
    function_version: str = "$LATEST",
    memory_limit_in_mb: int = 128,
    timeout: float = 3.0,
    aws_request_id: str | None = None,
    region: str = "us-east-1",
    account_id: str = "123456789012",
    client_context: dict[str, object] | None = None,
    cognito_identity: dict[str, object] | None = None,
    tenant_id: str | None = None,
    trace_id: str | None = None,
) -> LambdaContext:
    """A context like the one that a handler gets, for tests that call the handler.

    ``timeout`` is in seconds from now. The default for ``aws_request_id`` is a random UUID.
    ``client_context`` has ``custom``, ``env`` and ``client``; ``cognito_identity`` has
    ``cognitoIdentityId`` and ``cognitoIdentityPoolId``.
    """
    context = LambdaContext(
        aws_request_id or str(uuid.uuid4()),
        None if client_context is None else dict(client_context),
        cognito_identity,
        int((time.time() + timeout) * 1000),
        f"arn:aws:lambda:{region}:{account_id}:function:{function_name}",
        tenant_id,
        trace_id,
    )
    context.function_name = function_name
    context.function_version = function_version
    context.memory_limit_in_mb = str(memory_limit_in_mb)
    context.log_group_name = f"/aws/lambda/{function_name}"
    context.log_stream_name = f"{time.strftime('%Y/%m/%d')}/[{function_version}]{uuid.uuid4().hex}"
    return context


def explain_breakpoint(*arguments: object, **options: object) -> NoReturn:
    """Explain how to debug: the emulator's ``breakpoint()`` calls this without a debugger."""
    raise RuntimeError(
        "breakpoint(): a function has no terminal for pdb. Start it with "
        "`lambda-emulator dev HANDLER --debug` and attach VS Code or PyCharm to port 5678; "
        "breakpoint() stops there"
    )
