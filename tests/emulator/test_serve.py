"""`lambda-emulator serve`: the Lambda API by its real clients, boto3 and the AWS CLI."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions  # type: ignore[import-untyped]
import httpx
import pytest
from botocore.loaders import Loader  # type: ignore[import-untyped]

from lambda_emulator.service.operations.table import DURABLE, OPERATIONS
from support.leftovers import processes_with
from support.paths import ROOT
from support.served import PYTHON, ROLE, Served, archive, create, eventually

pytestmark = pytest.mark.xdist_group("serve")

_ECHO = """
import os
def handler(event, context):
    print("the event:", event)
    return {"event": event, "arn": context.invoked_function_arn,
            "version": context.function_version, "variables": dict(os.environ),
            "tenant": context.tenant_id, "pid": os.getpid()}
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served("--concurrency", "103") as running:
        yield running


def call(api: Any, name: str, event: object = None, **more: Any) -> Any:
    """The decoded answer of a function."""
    answer = api.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    return json.load(answer["Payload"])


def error_of(raised: pytest.ExceptionInfo[Any]) -> tuple[str, str]:
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def test_every_operation_is_known() -> None:
    model = Loader().load_service_model("lambda", "service-2")
    invoking = {"Invoke", "InvokeAsync", "InvokeWithResponseStream"}
    assert set(model["operations"]) == {*OPERATIONS, *DURABLE, *invoking}


# a function's life


def test_invoke_in_all_its_types(api: Any, name: str) -> None:
    create(api, name, _ECHO)
    answer = api.invoke(FunctionName=name, Payload=b'{"a": 1}', LogType="Tail")
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert json.load(answer["Payload"])["event"] == {"a": 1}
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "the event: {'a': 1}" in log
    assert "REPORT RequestId" in log
    assert api.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    assert api.invoke(FunctionName=name, InvocationType="Event")["StatusCode"] == 202
    assert api.invoke_async(FunctionName=name, InvokeArgs=b"{}")["Status"] == 202
    streamed = api.invoke_with_response_stream(FunctionName=name, Payload=b"[1]")
    events = list(streamed["EventStream"])
    payload = b"".join(one["PayloadChunk"]["Payload"] for one in events[:-1])
    assert json.loads(payload)["event"] == [1]
    assert "InvokeComplete" in events[-1]


def test_waiters_and_updates(api: Any, name: str) -> None:
    made = create(api, name, "def handler(e, c): return 'old'", Environment={"Variables": {}})
    api.get_waiter("function_active_v2").wait(FunctionName=name)
    assert call(api, name) == "old"
    code = archive({"app.py": "import os\ndef handler(e, c): return os.environ['MODE']"})
    updated = api.update_function_code(FunctionName=name, ZipFile=code)
    assert updated["CodeSha256"] != made["CodeSha256"]
    api.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"MODE": "new"}}, Timeout=9, MemorySize=256
    )
    api.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert call(api, name) == "new"
    found = api.get_function(FunctionName=name)
    assert (found["Configuration"]["Timeout"], found["Configuration"]["MemorySize"]) == (9, 256)
    assert httpx.get(found["Code"]["Location"], timeout=30).content == code
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        api.update_function_code(FunctionName=name, ZipFile=code, RevisionId=made["RevisionId"])
    assert error_of(raised)[0] == "PreconditionFailedException"
    api.delete_function(FunctionName=name)
    with pytest.raises(
        botocore.exceptions.ClientError, match="Function not found: arn:aws"
    ) as gone:
        api.invoke(FunctionName=name)
    assert error_of(gone)[0] == "ResourceNotFoundException"


def test_versions_and_aliases(api: Any, name: str) -> None:
    create(api, name, "def handler(e, c): return 1")
    assert api.publish_version(FunctionName=name)["Version"] == "1"
    assert api.publish_version(FunctionName=name)["Version"] == "1"  # nothing has changed
    api.update_function_code(
        FunctionName=name, ZipFile=archive({"app.py": "def handler(e, c): return 2"}), Publish=True
    )
    assert [call(api, name, Qualifier=one) for one in ("1", "2", "$LATEST")] == [1, 2, 2]
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert call(api, f"{name}:live") == 1
    routing = {"AdditionalVersionWeights": {"2": 0.5}}
    api.update_alias(FunctionName=name, Name="live", RoutingConfig=routing)
    seen = set()

    def both_have_answered() -> bool:
        answer = api.invoke(FunctionName=name, Qualifier="live")
        seen.add((answer["ExecutedVersion"], json.load(answer["Payload"])))
        return len(seen) == 2

    eventually(both_have_answered)
    assert seen == {("1", 1), ("2", 2)}
    with pytest.raises(botocore.exceptions.ClientError, match="aliases reference it") as raised:
        api.delete_function(FunctionName=name, Qualifier="2")
    assert error_of(raised)[0] == "ResourceConflictException"
    listed = api.list_versions_by_function(FunctionName=name)["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1", "2"]
    api.delete_alias(FunctionName=name, Name="live")
    assert api.list_aliases(FunctionName=name)["Aliases"] == []


def test_a_function_url_and_its_pages(api: Any, name: str) -> None:
    code = """
def handler(event, context):
    return {"statusCode": 201, "headers": {"access-control-allow-origin": "own", "x-mine": "1"},
            "body": event["rawPath"]}
"""
    create(api, name, code)
    made = api.create_function_url_config(
        FunctionName=name,
        AuthType="NONE",
        Cors={"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"], "MaxAge": 9},
    )
    url, page = made["FunctionUrl"], {"origin": "https://a.example"}
    answer = httpx.get(f"{url}path", headers=page, timeout=30)
    assert (answer.status_code, answer.text, answer.headers["x-mine"]) == (201, "/path", "1")
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    asked = {**page, "access-control-request-method": "GET"}
    preflight = httpx.options(url, headers=asked, timeout=30)
    assert preflight.headers["access-control-allow-methods"] == "GET"
    assert preflight.headers["access-control-max-age"] == "9"
    assert httpx.get(url, headers={"origin": "https://b.example"}, timeout=30).status_code == 403
    changed = api.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    assert changed["FunctionUrl"] == url
    assert httpx.get(url, timeout=30).status_code == 403
    api.delete_function_url_config(FunctionName=name)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, timeout=30)


def test_policies(api: Any, name: str) -> None:
    create(api, name, "def handler(e, c): pass")
    api.add_permission(
        FunctionName=name,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::bucket",
    )
    (statement,) = json.loads(api.get_policy(FunctionName=name)["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}}
    api.remove_permission(FunctionName=name, StatementId="s3")
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.get_policy(FunctionName=name)


def test_layers(api: Any, name: str) -> None:
    first = archive({"python/shared.py": "value = 1", "python/other.py": "", "bin/tool": "#!"})
    second = archive({"python/shared.py": "value = 2"})
    arns = [
        api.publish_layer_version(LayerName=f"{name}-{at}", Content={"ZipFile": content})
        for at, content in enumerate((first, second))
    ]
    code = """
import shutil, shared, other
def handler(event, context):
    return [shared.value, shutil.which("tool") is not None]
"""
    create(api, name, code, Layers=[one["LayerVersionArn"] for one in arns])
    assert call(api, name) == [2, True]
    given = {"LayerName": f"{name}-0", "VersionNumber": 1, "StatementId": "all"}
    api.add_layer_version_permission(**given, Action="lambda:GetLayerVersion", Principal="*")
    policy = api.get_layer_version_policy(LayerName=f"{name}-0", VersionNumber=1)["Policy"]
    assert json.loads(policy)["Statement"][0]["Principal"] == "*"
    found = api.get_layer_version_by_arn(Arn=arns[0]["LayerVersionArn"])
    assert httpx.get(found["Content"]["Location"], timeout=30).content == first
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="does not exist here"):
        api.update_function_configuration(FunctionName=name, Layers=[arns[0]["LayerArn"] + ":7"])


# limits


_MEETING = """
import pathlib, time
def handler(event, context):
    folder = pathlib.Path(event)
    (folder / context.aws_request_id).touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
"""


def test_reserved_concurrency(served: Served, api: Any, name: str, tmp_path: Path) -> None:
    create(api, name, _MEETING, Timeout=30)
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = [pool.submit(call, served.client(), name, str(tmp_path)) for _ in range(2)]
        eventually(lambda: len(list(tmp_path.iterdir())) == 2)
        with pytest.raises(api.exceptions.TooManyRequestsException) as raised:
            call(api, name, str(tmp_path))
        (tmp_path / "go").touch()
        assert [one.result() for one in running] == [None, None]
    limit = "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert raised.value.response["Reason"] == limit
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="minimum value of"):
        api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=4)
    counts = httpx.get(f"{served.endpoint}/_emulator/counts", timeout=30).json()["functions"][name]
    assert (counts["Invocations"], counts["Throttles"], counts["Errors"]) == (2, 1, 0)
    assert counts["ConcurrentExecutions"]["Maximum"] == 2
    api.delete_function(FunctionName=name)


def test_the_accounts_concurrency(name: str, tmp_path: Path) -> None:
    with Served("--concurrency", "1") as served, concurrent.futures.ThreadPoolExecutor() as pool:
        api = served.client()
        create(api, name, _MEETING, Timeout=30)
        running = pool.submit(call, served.client(), name, str(tmp_path))
        eventually(lambda: any(tmp_path.iterdir()))
        with pytest.raises(api.exceptions.TooManyRequestsException) as raised:
            call(api, name, str(tmp_path))
        (tmp_path / "go").touch()
        running.result()
    assert raised.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"


def test_an_idle_environment_is_shut_down(name: str, tmp_path: Path) -> None:
    code = """
import os, lambda_runtime

@lambda_runtime.on_shutdown
def end():
    open(f"{os.environ['FOLDER']}/{os.getpid()}", "w").close()

def handler(event, context):
    return os.getpid()
"""
    with Served("--idle", "1") as served:
        api = served.client()
        create(api, name, code, Environment={"Variables": {"FOLDER": str(tmp_path)}})
        first = call(api, name)
        assert call(api, name) == first or any(tmp_path.iterdir())
        eventually(lambda: (tmp_path / str(first)).exists())
        assert call(api, name) != first
        provisioned = {"FunctionName": name, "Qualifier": "1"}
        api.publish_version(FunctionName=name)
        api.put_provisioned_concurrency_config(**provisioned, ProvisionedConcurrentExecutions=1)
        eventually(
            lambda: api.get_provisioned_concurrency_config(**provisioned)["Status"] == "READY"
        )
        kept = call(api, name, Qualifier="1")
        time.sleep(3)  # what must not happen has no sign
        assert call(api, name, Qualifier="1") == kept


def test_provisioned_concurrency(api: Any, name: str) -> None:
    create(api, name, _ECHO, Publish=True)
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="unpublished"):
        api.put_provisioned_concurrency_config(
            FunctionName=name, Qualifier="$LATEST", ProvisionedConcurrentExecutions=1
        )
    wanted = {"FunctionName": name, "Qualifier": "1"}
    begun = api.put_provisioned_concurrency_config(**wanted, ProvisionedConcurrentExecutions=2)
    assert begun["Status"] == "IN_PROGRESS"
    eventually(lambda: api.get_provisioned_concurrency_config(**wanted)["Status"] == "READY")
    variables = call(api, name, Qualifier="1")["variables"]
    assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    api.delete_provisioned_concurrency_config(**wanted)
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        api.get_provisioned_concurrency_config(**wanted)
    assert error_of(raised)[0] == "ProvisionedConcurrencyConfigNotFoundException"


def test_tenants_have_environments_of_their_own(api: Any, name: str) -> None:
    create(api, name, _ECHO, TenancyConfig={"TenantIsolationMode": "PER_TENANT"})
    blue, green, again = (call(api, name, TenantId=one) for one in ("blue", "green", "blue"))
    assert (blue["tenant"], green["tenant"]) == ("blue", "green")
    assert blue["pid"] == again["pid"] != green["pid"]
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="tenant ID"):
        call(api, name)


# what runs


def test_snap_start_and_managed_instances(api: Any, name: str) -> None:
    create(api, name, _ECHO, SnapStart={"ApplyOn": "PublishedVersions"}, Publish=True)
    kind = "AWS_LAMBDA_INITIALIZATION_TYPE"
    assert call(api, name, Qualifier="1")["variables"][kind] == "snap-start"
    assert call(api, name)["variables"][kind] == "on-demand"
    provider = api.create_capacity_provider(
        CapacityProviderName=name,
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        PermissionsConfig={"CapacityProviderOperatorRoleArn": ROLE},
    )["CapacityProvider"]
    managed = {
        "CapacityProviderArn": provider["CapacityProviderArn"],
        "PerExecutionEnvironmentMaxConcurrency": 3,
    }
    create(
        api,
        f"{name}-m",
        _ECHO,
        MemorySize=2048,
        CapacityProviderConfig={"LambdaManagedInstancesCapacityProviderConfig": managed},
    )
    variables = call(api, f"{name}-m")["variables"]
    assert variables["AWS_LAMBDA_MAX_CONCURRENCY"] == "3"
    listed = api.list_function_versions_by_capacity_provider(CapacityProviderName=name)
    assert [one["FunctionArn"] for one in listed["FunctionVersions"]] == [
        f"arn:aws:lambda:us-east-1:123456789012:function:{name}-m"
    ]
    with pytest.raises(api.exceptions.ResourceConflictException):
        api.delete_capacity_provider(CapacityProviderName=name)


# A runtime of some lines, with nothing but bash: it answers every event with its own folder.
_BASH = """#!/bin/bash
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API#*:}
while :; do
  exec 3<>/dev/tcp/$host/$port
  printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' >&3
  while IFS= read -r line <&3 && [ -n "${line%$'\\r'}" ]; do
    case ${line,,} in lambda-runtime-aws-request-id:*) id=${line#*: }; id=${id%$'\\r'} ;; esac
  done
  exec 3>&-
  answer="\\"$PWD $LAMBDA_TASK_ROOT $_HANDLER\\""
  exec 3<>/dev/tcp/$host/$port
  printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\n' $id >&3
  printf 'Host: localhost\\r\\nContent-Length: %d\\r\\n\\r\\n%s' ${#answer} "$answer" >&3
  read -r line <&3
  exec 3>&-
done
"""


def test_any_bootstrap(api: Any, name: str) -> None:
    create(
        api,
        name,
        "",
        Runtime="provided.al2023",
        Handler="any",
        Code={"ZipFile": archive({"bootstrap": _BASH})},
    )
    folder, root, handler = call(api, name).split()
    assert (folder, handler) == (root, "any")


def _image(root: Path) -> Path:
    """The root of an image with bash and its libraries."""
    for one in ("bin", "dev", "proc", "tmp", "var/runtime", "var/task"):
        (root / one).mkdir(parents=True)
    bash = shutil.which("bash")
    assert bash is not None
    shutil.copy(bash, root / "bin/bash")
    (root / "bin/sh").symlink_to("bash")
    told = subprocess.run(["ldd", bash], capture_output=True, text=True, check=True).stdout
    for word in told.split():
        if word.startswith("/"):
            (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, root / word[1:])
    (root / "var/runtime/bootstrap").write_text(_BASH)
    (root / "var/runtime/bootstrap").chmod(0o755)
    return root


def test_an_image_by_its_root(api: Any, name: str, tmp_path: Path) -> None:
    image = {"PackageType": "Image", "Role": ROLE, "FunctionName": name}
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="unpacked root"):
        api.create_function(**image, Code={"ImageUri": "1.dkr.ecr.us-east-1.amazonaws.com/a:b"})
    root = _image(tmp_path / "root")
    config = {"Command": ["any"]}
    api.create_function(**image, Code={"ImageUri": str(root)}, ImageConfig=config)
    assert call(api, name) == "/var/task /var/task any"
    api.delete_function(FunctionName=name)


def test_a_folder_is_reloaded(api: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(e, c): return 'before'")
    code = {"S3Bucket": "hot-reload", "S3Key": str(tmp_path)}
    create(api, name, "", Code=code)
    assert call(api, name) == "before"
    (tmp_path / "app.py").write_text("def handler(e, c): return 'afterwards'")
    eventually(lambda: call(api, name) == "afterwards")
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="absolute path of a"):
        create(api, f"{name}-2", "", Code={"S3Bucket": "hot-reload", "S3Key": "here"})


def test_python_has_the_sdk_and_nothing_else_of_the_emulator(api: Any, name: str) -> None:
    code = """
import importlib.util, boto3
def handler(event, context):
    return [boto3.__version__ > "", importlib.util.find_spec("h11") is None]
"""
    create(api, name, code, Timeout=20)
    assert call(api, name) == [True, True]


def test_awslambdaric_on_request(name: str) -> None:
    with Served("--awslambdaric") as served:
        api = served.client()
        create(api, name, "import sys\ndef handler(e, c): return 'awslambdaric' in sys.modules")
        assert call(api, name) is True


# what cannot be


def _with_entry(name: str, mode: int = 0o100644, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        made.writestr(entry, content)
    return buffer.getvalue()


def _with_two_links() -> bytes:
    """A link that leads out by way of another one; each alone seems to stay inside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, to in (("a/b/up", "../.."), ("a/b/out", "up/../x")):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            made.writestr(entry, to)
    return buffer.getvalue()


def _bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made, made.open("zeros", "w") as one:
        for _ in range(256):
            one.write(bytes(1024 * 1024))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("zipped", "text"),
    [
        (b"no zip", "Could not unzip"),
        (_with_entry("/tmp/absolute"), "must lie inside"),
        (_with_entry("a/../../up"), "must lie inside"),
        (_with_entry("link", stat.S_IFLNK | 0o777, b"/etc/passwd"), "must lead to"),
        (_with_entry("link", stat.S_IFLNK | 0o777, b"../../x"), "must lead to"),
        (_with_two_links(), "must lead to"),
        (_with_entry("pipe", stat.S_IFIFO | 0o644), "files, folders and links only"),
        (_bomb(), "Unzipped size must be smaller than 262144000"),
    ],
    ids=["none", "absolute", "up", "link", "link-up", "two-links", "pipe", "bomb"],
)
def test_archives_that_are_refused(api: Any, name: str, zipped: bytes, text: str) -> None:
    with pytest.raises(api.exceptions.InvalidParameterValueException, match=text):
        create(api, name, "", Code={"ZipFile": zipped})


def test_links_inside_an_archive_stay(api: Any, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(entry, "lib/real.py")
        made.writestr("lib/real.py", "def handler(e, c): return 'linked'")
    create(api, name, "", Code={"ZipFile": buffer.getvalue()})
    assert call(api, name) == "linked"


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"Runtime": "nodejs24.x"}, "InvalidParameterValueException", "is not emulated"),
        ({"Runtime": "python2.1"}, "ValidationException", "enum value set"),
        ({"Timeout": 901}, "ValidationException", "less than or equal to 900"),
        ({"MemorySize": 20_000}, "ValidationException", "less than or equal to 10240"),
        ({"Role": "nobody"}, "ValidationException", "regular expression pattern"),
        (
            {"Environment": {"Variables": {"AWS_REGION": "x"}}},
            "InvalidParameterValueException",
            "reserved keys",
        ),
        (
            {"Environment": {"Variables": {"LONG": "x" * 4096}}},
            "InvalidParameterValueException",
            "4096 byte limit",
        ),
        ({"Code": {}}, "InvalidParameterValueException", "provide a source"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_functions_that_are_refused(
    api: Any, name: str, more: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match=text) as raised:
        create(api, name, "", **more)
    assert error_of(raised)[0] == code
    assert name not in [one["FunctionName"] for one in api.list_functions()["Functions"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/2015-03-31/nothing", b"", 404, "no operation"),
        ("PATCH", "/2015-03-31/functions", b"", 405, "none of the Lambda API's operations"),
        ("POST", "/2015-03-31/functions", b"{", 400, "into json"),
        ("POST", "/2015-03-31/functions", b"[]", 400, "no object"),
        ("POST", "/2015-03-31/functions", b'{"FunctionName": 1}', 400, "not a string"),
        ("POST", "/2015-03-31/functions", b"{}", 400, "validation errors detected"),
        ("GET", "/2015-03-31/functions?MaxItems=x", b"", 400, "is not a number"),
        ("GET", "/2015-03-31/functions?Marker=x", b"", 400, "marker"),
        ("POST", "/2015-03-31/functions/none/invocations", b"{}", 404, "Function not found"),
        ("GET", "/_emulator/nothing", b"", 404, "none of counts"),
        ("GET", "/2025-12-01/durable-executions/x", b"", 501, "--durable"),
    ],
)
def test_requests_that_are_refused(
    served: Served, method: str, path: str, body: bytes, status: int, text: str
) -> None:
    answer = httpx.request(method, served.endpoint + path, content=body, timeout=30)
    assert (answer.status_code, text in answer.json()["message"]) == (status, True), answer.text
    assert answer.headers["x-amzn-errortype"]


def test_pages_of_other_sites_are_refused(served: Served) -> None:
    listing = f"{served.endpoint}/2015-03-31/functions"
    assert httpx.get(listing, headers={"host": "evil.example"}, timeout=30).status_code == 403
    assert (
        httpx.get(listing, headers={"origin": "https://evil.example"}, timeout=30).status_code
        == 403
    )


def test_an_upload_that_is_too_large(served: Served) -> None:
    body = b"x" * (70_167_211 + 1)
    answer = httpx.post(f"{served.endpoint}/2015-03-31/functions", content=body, timeout=30)
    assert answer.status_code == 413
    assert answer.json()["message"] == "Request must be smaller than 70167211 bytes"


# the rest of the API


def test_the_other_operations(api: Any, name: str) -> None:
    arn = create(api, name, "def handler(e, c): pass", Tags={"a": "1"})["FunctionArn"]
    api.tag_resource(Resource=arn, Tags={"b": "2"})
    api.untag_resource(Resource=arn, TagKeys=["a"])
    assert api.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    publishers = {
        "SigningProfileVersionArns": [f"arn:aws:signer:us-east-1:{1:012}:/a/b/1234567890"]
    }
    signing = api.create_code_signing_config(AllowedPublishers=publishers)["CodeSigningConfig"]
    chosen = {"CodeSigningConfigArn": signing["CodeSigningConfigArn"]}
    api.put_function_code_signing_config(FunctionName=name, **chosen)
    assert api.list_functions_by_code_signing_config(**chosen)["FunctionArns"] == [arn]
    with pytest.raises(api.exceptions.ResourceConflictException):
        api.delete_code_signing_config(**chosen)
    api.delete_function_code_signing_config(FunctionName=name)
    api.update_code_signing_config(**chosen, Description="x")
    assert api.get_code_signing_config(**chosen)["CodeSigningConfig"]["Description"] == "x"
    api.delete_code_signing_config(**chosen)
    api.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert api.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    api.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="FunctionUpdate")
    managed = api.get_runtime_management_config(FunctionName=name)
    assert managed["UpdateRuntimeOn"] == "FunctionUpdate"
    limit = api.get_account_settings()["AccountLimit"]
    assert limit["ConcurrentExecutions"] == 103
    configured = api.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    assert configured["MaximumRetryAttempts"] == 1
    api.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    (found,) = api.list_function_event_invoke_configs(FunctionName=name)[
        "FunctionEventInvokeConfigs"
    ]
    assert (found["MaximumRetryAttempts"], found["MaximumEventAgeInSeconds"]) == (1, 60)
    api.delete_function_event_invoke_config(FunctionName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
              "Action": "lambda:InvokeFunction", "Resource": arn}]}  # fmt: skip
    api.put_resource_policy(ResourceArn=arn, Policy=json.dumps(policy))
    assert json.loads(api.get_resource_policy(ResourceArn=arn)["Policy"])["Statement"][0]["Sid"]
    api.delete_resource_policy(ResourceArn=arn)


def test_pages_of_many(api: Any, name: str) -> None:
    for at in range(3):
        create(api, f"{name}-{at}", "def handler(e, c): pass")
    pages = api.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    listed = [one["FunctionName"] for page in pages for one in page["Functions"]]
    assert {f"{name}-{at}" for at in range(3)} <= set(listed)
    assert len(listed) == len(set(listed))


def test_the_aws_cli(served: Served, name: str, tmp_path: Path) -> None:
    (tmp_path / "code.zip").write_bytes(archive({"app.py": "def handler(e, c): return e['n'] + 1"}))
    settings = ["--runtime", PYTHON, "--handler", "app.handler", "--role", ROLE]
    zipped = ["--zip-file", f"fileb://{tmp_path}/code.zip"]
    made = served.aws("create-function", "--function-name", name, *settings, *zipped)
    assert json.loads(made.stdout)["State"] == "Active", made.stderr
    out = tmp_path / "out"
    payload = ["--cli-binary-format", "raw-in-base64-out", "--payload", '{"n": 1}', str(out)]
    if served.aws("invoke", "--function-name", name, *payload).returncode:
        (tmp_path / "in").write_text('{"n": 1}')
        served.aws(
            "invoke", "--function-name", name, "--payload", f"fileb://{tmp_path}/in", str(out)
        )
    assert out.read_text() == "2"
    gone = served.aws("delete-function", "--function-name", f"{name}-none")
    assert "ResourceNotFoundException" in gone.stderr


# the process


def test_nothing_is_left(name: str, tmp_path: Path) -> None:
    mark = f"LEFT_BEHIND={name}"
    with Served(TMPDIR=str(tmp_path), **dict([mark.split("=")])) as served:
        api = served.client()
        create(api, name, _ECHO, Environment={"Variables": dict([mark.split("=")])})
        api.create_function_url_config(FunctionName=name, AuthType="NONE")
        call(api, name)
        assert len(processes_with(mark)) >= 2
        assert any(tmp_path.iterdir())
    assert processes_with(mark) == []
    assert list(tmp_path.iterdir()) == []
    assert served.process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port", "x"], "not a number from 0 to 65535"),
        (["--account", "1"], "12 digits"),
        (["--idle", "0"], "not a number from 0.1 to 86400"),
        (["--env", "=1"], "not NAME=VALUE"),
        (["--state", "/proc/none"], "--state /proc/none"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], text: str) -> None:
    served = Served(*arguments)
    done = subprocess.run(
        served.command, env=served.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2)
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        served = Served("--port", str(taken.getsockname()[1]))
        done = subprocess.run(
            served.command, env=served.environment, capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, "choose another --port" in done.stderr) == (1, True)


def test_the_page(served: Served, name: str) -> None:
    """Its example runs as it stands, under another name and on this Python."""
    page = (ROOT / "docs" / "emulator-api.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("plus-one", name).replace("python3.13", PYTHON)
    settings = dict(re.findall(r"(AWS_\w+)=(\S+)", page))
    variables = {**settings, "AWS_ENDPOINT_URL_LAMBDA": served.endpoint}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**served.environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "b'2'\n", done.stderr


# state


def test_what_survives_a_kill(name: str, tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "state")]
    with Served(*state) as served:
        api = served.client()
        layer = api.publish_layer_version(
            LayerName=name, Content={"ZipFile": archive({"python/shared.py": "value = 'shared'"})}
        )
        create(
            api,
            name,
            "import shared\ndef handler(event, context): return shared.value",
            Layers=[layer["LayerVersionArn"]],
            Tags={"a": "1"},
            Publish=True,
        )
        api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)
        url = api.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        before = api.get_function(FunctionName=name)
        queue = "arn:aws:sqs:us-east-1:123456789012:queue"
        mapping = api.create_event_source_mapping(
            FunctionName=name, EventSourceArn=queue, Enabled=False
        )
        served.kill()
    with Served(*state) as served:
        api = served.client()
        after = api.get_function(FunctionName=name)
        assert after["Configuration"] == before["Configuration"]
        assert (after["Tags"], after["Concurrency"]["ReservedConcurrentExecutions"]) == (
            {"a": "1"},
            7,
        )
        assert call(api, f"{name}:live") == "shared"
        assert httpx.get(url, timeout=30).text == "shared"
        assert api.get_event_source_mapping(UUID=mapping["UUID"])["State"] == "Disabled"
        again = Served(*state)
        done = subprocess.run(
            again.command, env=again.environment, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, "another lambda-emulator uses" in done.stderr) == (1, True)
        api.delete_function(FunctionName=name)
    with Served(*state) as served:
        assert served.client().list_functions()["Functions"] == []


def test_code_that_nothing_uses_is_removed(name: str, tmp_path: Path) -> None:
    state = ["--state", str(tmp_path)]
    with Served(*state) as served:
        api = served.client()
        create(api, name, "def handler(e, c): return 1")
        api.update_function_code(FunctionName=name, ZipFile=archive({"app.py": "handler = print"}))
        (tmp_path / "code" / ".new-interrupted").mkdir()
        assert len(list((tmp_path / "code").glob("*.zip"))) == 2
    with Served(*state) as served:
        (kept,) = (tmp_path / "code").glob("*.zip")
        located = served.client().get_function(FunctionName=name)["Code"]["Location"]
        assert kept.name in located
        assert {one.name for one in (tmp_path / "code").iterdir()} == {kept.name, kept.stem}


@pytest.mark.parametrize("content", [b"no database" * 500, None], ids=["rubbish", "newer"])
def test_a_folder_that_is_something_else(tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        with sqlite3.connect(tmp_path / "state.sqlite") as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        (tmp_path / "state.sqlite").write_bytes(content)
    served = Served("--state", str(tmp_path))
    done = subprocess.run(
        served.command, env=served.environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, f"--state {tmp_path}: " in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_logs(served: Served, api: Any, name: str) -> None:
    code = """
def handler(event, context):
    print("said", event)
    raise ValueError("two\\nlines")
"""
    create(api, name, code)
    command = [sys.executable, "-m", "lambda_emulator", "logs", "--endpoint", served.endpoint]
    environment = served.environment
    api.invoke(FunctionName=name, Payload=b"1")
    done = subprocess.run(
        [*command, name], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "said 1\n" in done.stdout
    assert "[ERROR] ValueError: two\nlines\n" in done.stdout
    follow = subprocess.Popen(
        [*command, "-f", name], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert follow.stdout is not None
        assert any(line == "said 1\n" for line in follow.stdout)
        api.invoke(FunctionName=name, Payload=b"2")
        assert any(line == "said 2\n" for line in follow.stdout)
        follow.send_signal(signal.SIGINT)
        assert follow.wait(30) == 130
    finally:
        follow.kill()
        follow.communicate()
    gone = subprocess.run(
        [*command, "none"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (gone.returncode, "404 ResourceNotFoundException" in gone.stderr) == (1, True)


def _made_up(shape: Any, known: dict[str, Any]) -> Any:
    """The least that the model takes for a shape; ``known`` are values that there are."""
    kind = shape.type_name
    if kind == "structure":
        return {
            name: known.get(name) or _made_up(member, known)
            for name, member in shape.members.items()
            if name in shape.required_members
        }
    if kind == "list":
        return [_made_up(shape.member, known)] * shape.metadata.get("min", 0)
    if kind == "string":
        return (shape.enum or ["x" * max(1, shape.metadata.get("min", 1))])[0]
    least = shape.metadata.get("min", 1)
    return {"map": {}, "boolean": True, "blob": b"{}", "timestamp": 0}.get(kind, least)


def test_every_operation_answers(api: Any, name: str) -> None:
    """With made-up values, for a function that there is and for one that there is not."""
    names = [*OPERATIONS, *DURABLE, "Invoke", "InvokeAsync"]
    names.sort(key=lambda one: (one.startswith("Delete"), one))
    arn = create(api, name, "def handler(e, c): pass")["FunctionArn"]
    there = {"FunctionName": name, "Qualifier": "$LATEST", "Resource": arn, "ResourceArn": arn}
    answered = set()
    for known in ({}, there):
        for operation in names:
            model = api.meta.service_model.operation_model(operation)
            shape = model.input_shape
            values = _made_up(shape, known) if shape is not None else {}
            method = api.meta.method_to_api_mapping
            (call_it,) = (one for one, called in method.items() if called == operation)
            try:
                getattr(api, call_it)(**values)
                answered.add(operation)
            except botocore.exceptions.ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                expected = status == 501 if operation in DURABLE else 400 <= status < 500
                assert expected, (operation, values, error)
                assert error.response["Error"]["Message"], operation
    assert {"GetFunction", "ListTags", "GetAccountSettings", "ListLayers", "Invoke"} <= answered


@pytest.mark.parametrize("subcommand", ["serve", "up"])
def test_packages_that_are_missing(tmp_path: Path, subcommand: str) -> None:
    for package in ("botocore", "samtranslator"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ModuleNotFoundError('not here')")
    (tmp_path / "template.yaml").write_text("Resources: {A: {Type: AWS::SQS::Queue}}")
    more = [str(tmp_path / "template.yaml")] if subcommand == "up" else []
    served = Served(*more, subcommand=subcommand)
    served.environment["PYTHONPATH"] += f":{tmp_path}"
    done = subprocess.run(
        served.command, env=served.environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "lambda-emulator[serve]" in done.stderr) == (1, True), done.stderr
