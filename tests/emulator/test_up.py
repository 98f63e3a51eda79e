"""`lambda-emulator up`: templates of SAM, CloudFormation and CDK, served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest

from lambda_emulator.__main__ import main
from support.paths import ROOT
from support.served import PYTHON, Served

pytestmark = pytest.mark.xdist_group("up")

_SAM = f"""
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: {PYTHON}
    CodeUri: src
Parameters:
  Stage: {{Type: String, Default: dev}}
  Seconds: {{Type: Number, Default: 7}}
Conditions:
  InProduction: !Equals [!Ref Stage, prod]
Resources:
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: layer
      CompatibleRuntimes: [{PYTHON}]
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Timeout: !Ref Seconds
      AutoPublishAlias: live
      Layers: [!Ref Shared]
      FunctionUrlConfig: {{AuthType: NONE}}
      EventInvokeConfig: {{MaximumRetryAttempts: 1}}
      ReservedConcurrentExecutions: 5
      Environment:
        Variables:
          STAGE: !Sub "${{Stage}} in ${{AWS::Region}}"
          PORT: 8080
          QUEUE: !Ref Queue
          OTHER: !GetAtt Other.Arn
          ZONE: !If [InProduction, a, !Join ["-", [b, !Select [1, [x, y]]]]]
          NONE: !If [InProduction, a, !Ref AWS::NoValue]
      Events:
        Work: {{Type: SQS, Properties: {{Queue: !GetAtt Queue.Arn, BatchSize: 5, Enabled: false}}}}
        Page: {{Type: HttpApi, Properties: {{Path: /page, Method: get}}}}
  Other:
    Type: AWS::Serverless::Function
    Properties: {{Handler: other.handler, FunctionName: the-other}}
  Elsewhere:
    Type: AWS::Serverless::Function
    Properties: {{Handler: index.handler, Runtime: nodejs24.x}}
  Unwanted:
    Type: AWS::Serverless::Function
    Condition: InProduction
    Properties: {{Handler: app.handler}}
  Queue:
    Type: AWS::SQS::Queue
"""

_APP = """
import os, shared
def handler(event, context):
    names = ("STAGE", "PORT", "QUEUE", "OTHER", "ZONE", "NONE")
    return [shared.value, context.function_version, *(os.environ.get(name) for name in names)]
"""


@pytest.fixture
def sam(tmp_path: Path) -> Path:
    """A template of SAM with its code."""
    (tmp_path / "template.yaml").write_text(_SAM)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text(_APP)
    (tmp_path / "src/other.py").write_text("def handler(event, context): return 'other'")
    (tmp_path / "layer/python").mkdir(parents=True)
    (tmp_path / "layer/python/shared.py").write_text("value = 'shared'")
    return tmp_path / "template.yaml"


def answer(api: object, name: str) -> object:
    return json.load(api.invoke(FunctionName=name)["Payload"])  # type: ignore[attr-defined]


def test_sam(sam: Path) -> None:
    state = ["--state", str(sam.parent / "state")]
    with Served(str(sam), *state, subcommand="up") as served:
        api = served.client()
        names = [one["FunctionName"] for one in api.list_functions()["Functions"]]
        assert names == ["Hello", "the-other"]
        assert answer(api, "Hello:live") == [
            *("shared", "1", "dev in us-east-1", "8080"),
            "https://sqs.us-east-1.amazonaws.com/123456789012/Queue",
            "arn:aws:lambda:us-east-1:123456789012:function:the-other",
            *("b-y", None),
        ]
        assert api.get_function_configuration(FunctionName="Hello")["Timeout"] == 7
        assert (
            api.get_function_concurrency(FunctionName="Hello")["ReservedConcurrentExecutions"] == 5
        )
        config = api.get_function_event_invoke_config(FunctionName="Hello", Qualifier="live")
        assert config["MaximumRetryAttempts"] == 1
        (mapping,) = api.list_event_source_mappings()["EventSourceMappings"]
        assert mapping["FunctionArn"].endswith(":Hello:live")
        assert (mapping["BatchSize"], mapping["State"]) == (5, "Disabled")
        (url,) = api.list_function_url_configs(FunctionName="Hello")["FunctionUrlConfigs"]
        assert httpx.get(url["FunctionUrl"], timeout=30).json()[0] == "shared"
    told = "\n".join(served.lines)
    assert f"function Hello  {url['FunctionUrl']}" in told
    assert "left out: Elsewhere: the runtime nodejs24.x is not emulated" in told
    assert "AWS::SQS::Queue (1)" in told
    # Once more on what is kept, with another value: nothing is there twice.
    with Served(str(sam), *state, "--parameter", "Seconds=8", subcommand="up") as served:
        api = served.client()
        assert api.get_function_configuration(FunctionName="Hello")["Timeout"] == 8
        assert len(api.list_event_source_mappings()["EventSourceMappings"]) == 1
        assert answer(api, "Hello:live")[1] == "2"  # type: ignore[index]


def test_cloudformation_with_its_code_inside(tmp_path: Path) -> None:
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ZipFile": "def handler(event, context):\n    return 'inline'\n"},
            "Handler": "index.handler",
            "Runtime": PYTHON,
            "Role": "arn:aws:iam::123456789012:role/any",
            "Tags": [{"Key": "a", "Value": "1"}],
        },
    }
    template = {"Resources": {"Inline": function}}
    (tmp_path / "stack.json").write_text(json.dumps(template))
    with Served(str(tmp_path / "stack.json"), subcommand="up") as served:
        assert answer(served.client(), "Inline") == "inline"
        assert served.client().get_function(FunctionName="Inline")["Tags"] == {"a": "1"}


def test_what_cdk_synth_makes(tmp_path: Path) -> None:
    """What version 2 has written for a function with a layer, a URL, a queue and an alias."""
    folder = tmp_path / "cdk.out"
    shutil.copytree(ROOT / "tests/emulator/cdk", folder)
    template = folder / "Stack.template.json"
    template.write_text(template.read_text().replace("python3.13", PYTHON))
    with Served(str(folder), subcommand="up") as served:
        api = served.client()
        (name,) = [one["FunctionName"] for one in api.list_functions()["Functions"]]
        assert answer(api, f"{name}:live") == "by cdk"
        variables = api.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        assert variables["QUEUE"].endswith("/123456789012/Queue4A7E3555")
        (mapping,) = api.list_event_source_mappings()["EventSourceMappings"]
        assert mapping["EventSourceArn"].endswith(":Queue4A7E3555")
        (url,) = api.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
        page = {"origin": "https://any.example"}
        assert httpx.get(url["FunctionUrl"], headers=page, timeout=30).text == "by cdk"


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        (None, [], "cannot be read"),
        ("a: [", [], "cannot be read"),
        ("- 1", [], "it has no Resources"),
        ("Resources: {A: {}}", [], "the resource A has no Type"),
        ("Resources: {A: {Type: AWS::Lambda::Function}}", ["--parameter", "x"], "not NAME=VALUE"),
        ("Resources: {A: {Type: X::Y::Z}}", ["--parameter", "x=1"], "no such parameter"),
        ("Parameters: {P: {Type: String}}\nResources: {A: {Type: X::Y::Z}}", [], "has no default"),
        (
            "Resources: {A: {Type: AWS::Lambda::Function, Properties: {Code: gone}}}",
            [],
            "the code of A is not there",
        ),
        (
            "Resources: {A: {Type: AWS::Lambda::Function, Properties: {Handler: !Ref None}}}",
            [],
            "neither a resource nor a parameter None",
        ),
        (
            "Resources: {A: {Type: AWS::Lambda::Alias, Properties: {Name: x}}}",
            [],
            "FunctionName is missing",
        ),
        (
            "Transform: AWS::Serverless-2016-10-31\n"
            "Resources: {A: {Type: AWS::Serverless::Function, Properties: {Nonsense: 1}}}",
            [],
            "SAM refuses the template",
        ),
        (
            "Resources:\n  A: {Type: AWS::Lambda::Url, Properties: {Qualifier: !Select [7, [1]]}}",
            [],
            "Fn::Select of [7, [1]]",
        ),
    ],
)
def test_templates_that_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    arguments: list[str],
    told: str,
) -> None:
    path = tmp_path / "template.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["up", str(path), "--port", "0", *arguments]) in (1, 2)
    assert told in capsys.readouterr().err
