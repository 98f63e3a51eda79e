"""Durable functions: AWS's SDK in the function, AWS's local runner beside the emulator."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import aws_durable_execution_sdk_python  # type: ignore[import-not-found,import-untyped,unused-ignore]
import pytest

from support.served import Served, create, eventually

pytestmark = pytest.mark.xdist_group("durable")

_STEPS = """
from aws_durable_execution_sdk_python import DurableContext, durable_execution, durable_step
from aws_durable_execution_sdk_python.config import Duration

@durable_step
def double(step, number):
    print("doubled", number)
    return number * 2

@durable_execution
def handler(event, context: DurableContext):
    if event["number"] < 0:
        raise ValueError("a negative number")
    doubled = context.step(double(event["number"]))
    context.wait(Duration.from_seconds(1))
    return {"doubled": doubled}
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served("--durable") as running:
        yield running


@pytest.fixture
def name(served: Served) -> str:
    """A durable function."""
    name = f"f-{uuid.uuid4().hex[:8]}"
    packages = str(Path(aws_durable_execution_sdk_python.__file__).parents[1])
    create(
        served.client(),
        name,
        _STEPS,
        Timeout=30,
        DurableConfig={"ExecutionTimeout": 60, "RetentionPeriodInDays": 1},
        Environment={"Variables": {"PYTHONPATH": packages}},
    )
    return name


def test_an_execution_waits_and_is_replayed(served: Served, name: str) -> None:
    api = served.client()
    answer = api.invoke(FunctionName=name, Qualifier="$LATEST", Payload=b'{"number": 4}')
    assert json.load(answer["Payload"]) == {"doubled": 8}, served.lines
    arn = answer["DurableExecutionArn"]
    found = api.get_durable_execution(DurableExecutionArn=arn)
    assert (found["Status"], json.loads(found["Result"])) == ("SUCCEEDED", {"doubled": 8})
    kinds = [
        one["EventType"]
        for one in api.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    ]
    assert {"StepSucceeded", "WaitSucceeded", "ExecutionSucceeded"} <= set(kinds)
    # The function was invoked a second time after the wait, and the step was not run again.
    eventually(lambda: sum("REPORT" in line for line in served.lines if name in line) == 2)
    assert sum(line == f"{name}: doubled 4" for line in served.lines) == 1


def test_executions_that_fail_and_that_nobody_waits_for(served: Served, name: str) -> None:
    api = served.client()
    failed = api.invoke(FunctionName=name, Qualifier="$LATEST", Payload=b'{"number": -1}')
    assert failed["FunctionError"] == "Unhandled"
    assert json.load(failed["Payload"])["errorMessage"] == "a negative number"
    begun = api.invoke(
        FunctionName=name,
        Qualifier="$LATEST",
        InvocationType="Event",
        DurableExecutionName="mine",
        Payload=b'{"number": 1}',
    )
    assert begun["StatusCode"] == 202
    arn = {"DurableExecutionArn": begun["DurableExecutionArn"]}
    assert api.get_durable_execution(**arn)["DurableExecutionName"] == "mine"
    eventually(lambda: api.get_durable_execution(**arn)["Status"] == "SUCCEEDED")
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="unqualified"):
        api.invoke(FunctionName=name, Payload=b'{"number": 1}')


def test_a_runner_that_is_not_installed(tmp_path: Path) -> None:
    package = tmp_path / "aws_durable_execution_sdk_python_testing"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('not here')")
    served = Served("--durable")
    served.environment["PYTHONPATH"] += f":{tmp_path}"
    done = subprocess.run(
        served.command, env=served.environment, capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, "is it installed?" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
