"""`lambda-emulator serve` between real queues: moto's server stands for the other services."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.served import PYTHON, ROLE, Served, archive, client, create, eventually

pytestmark = pytest.mark.xdist_group("serve-events")

# Keeps each event in a file of its own, which tells the test that it has come.
_KEEP = """
import json, os, pathlib
def handler(event, context):
    folder = pathlib.Path(os.environ["FOLDER"])
    (folder / context.aws_request_id).write_text(json.dumps([event, context.invoked_function_arn]))
    if event == "fail":
        raise ValueError("as told")
    return "kept"
"""


@pytest.fixture(scope="module")
def served(moto: str) -> Iterator[Served]:
    with Served("--time-scale", "100", AWS_ENDPOINT_URL=moto) as running:
        yield running


def queue(moto: str, name: str, **attributes: str) -> tuple[Any, str, str]:
    """A new queue: a client of SQS, the queue's URL and its ARN."""
    sqs = client("sqs", moto)
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return sqs, url, found["Attributes"]["QueueArn"]


def kept(folder: Path) -> list[Any]:
    """The events that have come, with the ARNs that they came by."""
    return [json.loads(text) for one in folder.iterdir() if (text := one.read_text())]


def received(sqs: Any, url: str) -> list[dict[str, Any]]:
    """The messages of a queue, which are taken from it."""
    messages: list[dict[str, Any]] = []

    def some() -> bool:
        answer = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
        messages.extend(answer.get("Messages", []))
        return bool(messages)

    eventually(some)
    return messages


def test_an_event_is_retried_and_its_destination_told(
    moto: str, served: Served, api: Any, name: str, tmp_path: Path
) -> None:
    sqs, url, arn = queue(moto, name)
    _, letters, letter_arn = queue(moto, f"{name}-dead")
    create(
        api,
        name,
        _KEEP,
        Environment={"Variables": {"FOLDER": str(tmp_path)}},
        DeadLetterConfig={"TargetArn": letter_arn},
    )
    destinations = {"OnFailure": {"Destination": arn}, "OnSuccess": {"Destination": arn}}
    api.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=1, DestinationConfig=destinations
    )
    begun = api.invoke(FunctionName=name, InvocationType="Event", Payload=b'"fail"')
    (record,) = (json.loads(one["Body"]) for one in received(sqs, url))
    assert record["requestContext"]["requestId"] == begun["ResponseMetadata"]["RequestId"]
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"]["errorMessage"] == "as told"
    (letter,) = received(sqs, letters)
    assert letter["Body"] == '"fail"'
    api.invoke(FunctionName=name, InvocationType="Event", Payload=b'"good"')
    (record,) = (json.loads(one["Body"]) for one in received(sqs, url))
    assert (record["requestContext"]["condition"], record["responsePayload"]) == ("Success", "kept")
    counts = httpx.get(f"{served.endpoint}/_emulator/counts", timeout=30).json()["functions"][name]
    assert (counts["AsyncEventsReceived"], counts["Invocations"], counts["Errors"]) == (2, 3, 2)
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="on failure only"):
        api.put_function_event_invoke_config(
            FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": "arn:aws:s3:::b"}}
        )


def test_a_mapping_from_its_creation_to_its_end(
    moto: str, served: Served, api: Any, name: str, tmp_path: Path
) -> None:
    sqs, url, arn = queue(moto, name)
    variables = {"FOLDER": str(tmp_path)}
    create(api, name, _KEEP, Environment={"Variables": variables}, Publish=True)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    made = api.create_event_source_mapping(
        FunctionName=f"{name}:live",
        EventSourceArn=arn,
        BatchSize=1,
        FilterCriteria={"Filters": [{"Pattern": '{"body": {"wanted": [true]}}'}]},
    )
    assert made["State"] == "Creating"
    mapping = {"UUID": made["UUID"]}
    eventually(lambda: api.get_event_source_mapping(**mapping)["State"] == "Enabled")
    for number, wanted in enumerate((True, False, True)):
        body = json.dumps({"number": number, "wanted": wanted})
        sqs.send_message(QueueUrl=url, MessageBody=body)
    eventually(lambda: len(kept(tmp_path)) == 2)
    numbers = {json.loads(event["Records"][0]["body"])["number"] for event, _ in kept(tmp_path)}
    assert numbers == {0, 2}
    assert {one for _, one in kept(tmp_path)} == {
        f"arn:aws:lambda:us-east-1:123456789012:function:{name}:live"
    }
    counts = httpx.get(f"{served.endpoint}/_emulator/counts", timeout=30).json()
    assert counts["eventSourceMappings"][made["UUID"]]["PolledEventCount"] == 3
    assert api.update_event_source_mapping(**mapping, Enabled=False)["State"] == "Disabling"
    eventually(lambda: api.get_event_source_mapping(**mapping)["State"] == "Disabled")
    with pytest.raises(api.exceptions.ResourceConflictException, match="already exists"):
        api.create_event_source_mapping(FunctionName=f"{name}:live", EventSourceArn=arn)
    assert api.delete_event_source_mapping(**mapping)["State"] == "Deleting"
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.get_event_source_mapping(**mapping)
    assert api.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"BatchSize": 11}, "above|greater than 10"),
        ({"StartingPosition": "LATEST"}, "queue"),
        ({"EventSourceArn": "arn:aws:mq:us-east-1:123456789012:broker:x:y"}, "not emulated"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "["}]}}, "Invalid filter pattern"),
    ],
)
def test_mappings_that_are_refused(
    api: Any, name: str, settings: dict[str, Any], text: str
) -> None:
    create(api, name, "def handler(e, c): pass")
    wanted = {"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:any", **settings}
    with pytest.raises(api.exceptions.InvalidParameterValueException, match=text):
        api.create_event_source_mapping(FunctionName=name, **wanted)
    assert api.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] == []


def test_a_queue_that_shows_messages_again_too_early_is_refused(
    moto: str, api: Any, name: str
) -> None:
    sqs, url, arn = queue(moto, name, VisibilityTimeout="20")
    create(api, name, "def handler(e, c): pass", Timeout=21)
    text = "visibility timeout: 20 seconds is less than Function timeout: 21 seconds"
    with pytest.raises(api.exceptions.InvalidParameterValueException, match=text):
        api.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)
    assert api.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] == []
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "21"})
    made = api.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "20"})
    with pytest.raises(api.exceptions.InvalidParameterValueException, match=text):
        api.update_event_source_mapping(UUID=made["UUID"], BatchSize=2)
    assert api.get_event_source_mapping(UUID=made["UUID"])["BatchSize"] == 10
    api.delete_event_source_mapping(UUID=made["UUID"])


def test_streams(moto: str, api: Any, name: str, tmp_path: Path) -> None:
    kinesis, dynamodb = client("kinesis", moto), client("dynamodb", moto)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    stream = kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
    key = {"AttributeName": "id"}
    table = dynamodb.create_table(
        TableName=name,
        KeySchema=[{**key, "KeyType": "HASH"}],
        AttributeDefinitions=[{**key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    create(api, name, _KEEP, Environment={"Variables": {"FOLDER": str(tmp_path)}})
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="StartingPosition"):
        api.create_event_source_mapping(FunctionName=name, EventSourceArn=stream)
    for arn in (stream, table["LatestStreamArn"]):
        made = api.create_event_source_mapping(
            FunctionName=name, EventSourceArn=arn, StartingPosition="TRIM_HORIZON"
        )
        assert made["MaximumRetryAttempts"] == -1
    kinesis.put_record(StreamName=name, Data=b"one", PartitionKey="a")
    dynamodb.put_item(TableName=name, Item={"id": {"S": "two"}})
    eventually(lambda: len(kept(tmp_path)) == 2)
    records = {
        event["Records"][0]["eventSource"]: event["Records"][0] for event, _ in kept(tmp_path)
    }
    assert set(records) == {"aws:kinesis", "aws:dynamodb"}
    role = api.get_function_configuration(FunctionName=name)["Role"]
    assert records["aws:kinesis"]["invokeIdentityArn"] == role


def test_events_and_mappings_survive_a_kill(moto: str, name: str, tmp_path: Path) -> None:
    sqs, url, arn = queue(moto, name)
    folder = tmp_path / "events"
    folder.mkdir()
    state = ["--state", str(tmp_path / "state")]
    with Served(*state, "--time-scale", "30", AWS_ENDPOINT_URL=moto) as served:
        api = served.client()
        create(api, name, _KEEP, Environment={"Variables": {"FOLDER": str(folder)}})
        api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
        api.create_event_source_mapping(FunctionName=name, EventSourceArn=arn, BatchSize=1)
        api.invoke(FunctionName=name, InvocationType="Event", Payload=b'"fail"')  # again in 2 s
        eventually(lambda: len(kept(folder)) == 1)
        served.kill()
    sqs.send_message(QueueUrl=url, MessageBody="meanwhile")
    with Served(*state, "--time-scale", "1000", AWS_ENDPOINT_URL=moto) as served:
        # The same event keeps its request id; once it has been tried three times it is done.
        counts = f"{served.endpoint}/_emulator/counts"
        eventually(
            lambda: (
                httpx.get(counts, timeout=30).json()["functions"][name].get("AsyncEventsDropped")
                == 1
            )
        )
        eventually(lambda: len(kept(folder)) == 2)
        bodies = [event["Records"][0]["body"] for event, _ in kept(folder) if event != "fail"]
        assert bodies == ["meanwhile"]


def test_code_in_s3(moto: str, api: Any, name: str) -> None:
    s3 = client("s3", moto)
    s3.create_bucket(Bucket=name)
    code = archive({"app.py": "def handler(e, c): return 'from S3'"})
    s3.upload_fileobj(io.BytesIO(code), name, "code.zip")
    settings = {"Runtime": PYTHON, "Handler": "app.handler", "Role": ROLE, "FunctionName": name}
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="NoSuchKey"):
        api.create_function(**settings, Code={"S3Bucket": name, "S3Key": "none.zip"})
    api.create_function(**settings, Code={"S3Bucket": name, "S3Key": "code.zip"})
    assert json.load(api.invoke(FunctionName=name)["Payload"]) == "from S3"


def test_a_function_calls_another_one_and_a_queue(moto: str, api: Any, name: str) -> None:
    sqs, url, _ = queue(moto, name)
    create(api, f"{name}-other", "def handler(event, context): return event + 1")
    code = f"""
import boto3, json
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl={url!r}, MessageBody="sent")
    answer = boto3.client("lambda").invoke(FunctionName="{name}-other", Payload=json.dumps(event))
    return json.load(answer["Payload"])
"""
    create(api, name, code, Timeout=20)
    answer = api.invoke(FunctionName=name, Payload=b"1")
    assert json.load(answer["Payload"]) == 2
    assert [one["Body"] for one in received(sqs, url)] == ["sent"]
