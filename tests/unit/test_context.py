"""The context object, side by side with awslambdaric's."""

import json
import time

import pytest

from lambda_runtime import context
from lambda_runtime.context import LambdaContext
from lambda_runtime.ground.faults import FaultException
from lambda_runtime.runtime_api.client import Invocation
from lambda_runtime.runtime_api.http1 import Reply

CLIENT = {
    "custom": {"k": "v"},
    "env": {"make": "x"},
    "client": {"installation_id": "i", "app_title": "t"},
    "w3c": {"traceparent": "00-1", "baggage": 5, "other": "x"},
}


def made(**headers: str) -> LambdaContext:
    fields = {"lambda-runtime-aws-request-id": "id"}
    fields |= {f"lambda-runtime-{name.replace('_', '-')}": value for name, value in headers.items()}
    return context.make(Invocation(Reply(200, fields)))


def test_the_facts_of_an_invocation() -> None:
    deadline = int(time.time() * 1000) + 5000
    made_context = made(
        deadline_ms=str(deadline),
        invoked_function_arn="arn",
        trace_id="Root=1",
        aws_tenant_id="tenant",
        cognito_identity='{"cognitoIdentityId":"c","cognitoIdentityPoolId":"p"}',
        client_context=json.dumps(CLIENT),
    )
    assert made_context.aws_request_id == "id"
    assert made_context.invoked_function_arn == "arn"
    assert (made_context.trace_id, made_context.tenant_id) == ("Root=1", "tenant")
    assert made_context.deadline == deadline
    assert 4000 < made_context.get_remaining_time_in_millis() <= 5000
    assert made_context.identity.cognito_identity_id == "c"
    assert made_context.identity.cognito_identity_pool_id == "p"
    client = made_context.client_context
    assert client is not None
    assert client.custom == {"k": "v"}
    assert client.client is not None
    assert client.client.app_title == "t"  # type: ignore[attr-defined]
    assert client.client.app_version_code is None  # type: ignore[attr-defined]
    assert made_context.w3c() == {"traceparent": "00-1"}


def test_what_is_absent_is_none() -> None:
    plain = made()
    assert plain.client_context is None
    assert plain.identity.cognito_identity_id is None
    assert plain.get_remaining_time_in_millis() == 0
    assert plain.w3c() == {}


def test_it_takes_new_attributes_and_is_fresh_each_time() -> None:
    first = made()
    first.mine = 1  # type: ignore[attr-defined]
    assert not hasattr(made(), "mine")


@pytest.mark.parametrize("header", ["client_context", "cognito_identity"])
@pytest.mark.parametrize("value", ["{", "[1]", "{custom}"])
def test_what_is_not_an_object_is_this_invocations_error(header: str, value: str) -> None:
    with pytest.raises(FaultException, match="Unable to parse ") as caught:
        made(**{header: value})
    assert caught.value.exception_type == "Runtime.LambdaContextUnmarshalError"


def test_attributes_are_awslambdarics() -> None:
    from awslambdaric.lambda_context import LambdaContext as theirs

    arguments = ("id", CLIENT.copy(), {"cognitoIdentityId": "c"}, 5, "arn", "tenant")
    peer = theirs(*arguments)
    ours = LambdaContext("id", CLIENT.copy(), {"cognitoIdentityId": "c"}, 5, "arn", "tenant")
    assert repr(ours) == repr(peer)
    for name in dir(peer):
        if not name.startswith("_"):
            assert type(getattr(ours, name)).__name__ == type(getattr(peer, name)).__name__
