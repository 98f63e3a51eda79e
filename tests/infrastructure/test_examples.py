"""examples/infrastructure: each folder by its own tool, as far as that goes without an account."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml  # type: ignore[import-untyped]

from compatibility.trial import install
from container.engine import ContainerError, require
from lambda_emulator.threaded import ThreadedEmulator
from support.local_aws import local_aws, without_aws
from support.paths import ROOT

EXAMPLES = ROOT / "examples/infrastructure"
LAYER = "build/layer/lambda-runtime-python313-arm64.zip"
pytestmark = pytest.mark.timeout(600, func_only=True)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the folder in a checkout whose layers are built."""
    layer = tmp_path / LAYER
    layer.parent.mkdir(parents=True)
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples/infrastructure"))


def run(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**without_aws(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def need(program: str, package: str) -> None:
    try:
        require({program: package})
    except ContainerError as error:
        pytest.skip(str(error))


def test_the_function_streams() -> None:
    with ThreadedEmulator(
        command=[sys.executable, "-S", str(ROOT / "bootstrap"), "app.handler"],
        handler="app.handler",
        task_root=EXAMPLES / "function",
    ) as emulator:
        event = {"version": "2.0", "queryStringParameters": {"start": "2"}}
        with emulator.stream(event) as stream:
            chunks = list(stream)
    assert [chunk.decode() for chunk in chunks[-3:]] == ["2\n", "1\n", "0\n"]


def test_cfn_lint_accepts_sam_s_template() -> None:
    lint = [tool("cfn-lint"), "--regions", "eu-central-1", "--"]
    run([*lint, str(EXAMPLES / "sam/template.yaml")], ROOT)


def test_terraform_s_files_belong_together() -> None:
    module: dict[str, Any] = {}
    for path in sorted((EXAMPLES / "terraform/module").glob("*.tf")):
        for kind, entries in hcl2.loads(path.read_text()).items():
            module.setdefault(kind, []).extend(entries)
    declared = {name.strip('"') for entry in module["variable"] for name in entry}
    text = (EXAMPLES / "terraform/module/main.tf").read_text()
    assert declared == {word.split(".")[1] for word in _words(text) if word.startswith("var.")}
    (call,) = hcl2.loads((EXAMPLES / "terraform/main.tf").read_text())["module"]
    given = {name for entry in call.values() for name in entry if not name.startswith("__")}
    assert given - {"source"} <= declared


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c in "._" else " " for c in text).split()


@pytest.mark.xdist_group("infrastructure")
def test_the_scripts_create_and_remove(examples: Path) -> None:
    with local_aws() as settings:
        environment = {**settings, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        url = run(["./deploy.sh"], examples / "cli", environment).stdout
        assert url.startswith("https://")
        look = ["aws", "lambda", "get-function", "--function-name", "countdown"]
        found = json.loads(run([tool("aws"), *look[1:]], examples, environment).stdout)
        assert found["Configuration"]["Runtime"] == "provided.al2023"
        assert len(found["Configuration"]["Layers"]) == 1
        run(["./remove.sh"], examples / "cli", environment)
        for words, key in (
            (["lambda", "list-functions"], "Functions"),
            (["lambda", "list-layers"], "Layers"),
            (["iam", "list-roles"], "Roles"),
        ):
            assert json.loads(run([tool("aws"), *words], examples, environment).stdout)[key] == []


def test_compose_s_file_names_what_is_there() -> None:
    (service,) = yaml.safe_load((EXAMPLES / "compose/compose.yaml").read_text())[
        "services"
    ].values()
    context = EXAMPLES / "compose" / service["build"]["context"]
    assert (context / "app.py").is_file()
    assert (context / service["build"]["dockerfile"]).is_file()


@pytest.mark.long
def test_sam_accepts_its_template(tmp_path: Path) -> None:
    python = install(["aws-sam-cli"], tmp_path / "venv")
    validate = ["validate", "--lint", "--region", "eu-central-1", "--template", "template.yaml"]
    environment = {"SAM_CLI_TELEMETRY": "0", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = run([str(python.with_name("sam")), *validate], EXAMPLES / "sam", environment)
    assert "is a valid SAM Template" in done.stdout


@pytest.mark.long
def test_cdk_makes_a_template(examples: Path, tmp_path: Path) -> None:
    need("node", "nodejs")
    python = install(["-r", str(examples / "cdk/requirements.txt")], tmp_path / "venv")
    out = tmp_path / "out"
    environment = {"CDK_OUTDIR": str(out), "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"}
    run([str(python), "app.py"], examples / "cdk", environment)
    template = json.loads((out / "Countdown.template.json").read_text())
    by_type: dict[str, Any] = {}
    for resource in template["Resources"].values():
        by_type.setdefault(resource["Type"], []).append(resource["Properties"])
    (function,) = by_type["AWS::Lambda::Function"]
    assert function["Runtime"] == "provided.al2023" and function["Architectures"] == ["arm64"]
    assert len(function["Layers"]) == len(by_type["AWS::Lambda::LayerVersion"]) == 1
    assert by_type["AWS::Lambda::Url"][0]["InvokeMode"] == "RESPONSE_STREAM"
    run([tool("cfn-lint"), "-i", "W3005", "--", str(out / "Countdown.template.json")], ROOT)


@pytest.mark.long
def test_serverless_accepts_its_configuration(examples: Path, tmp_path: Path) -> None:
    """Version 3: the fourth asks for an account of its maker's."""
    need("npm", "npm")
    run(["npm", "install", "--silent", "--prefix", str(tmp_path / "npm"), "serverless@3"], tmp_path)
    program = str(tmp_path / "npm/node_modules/.bin/serverless")
    environment = {"SLS_TELEMETRY_DISABLED": "1", "SLS_NOTIFICATIONS_MODE": "off"}
    printed = [program, "print", "--format", "json"]
    done = run(printed, examples / "serverless", environment)
    function = json.loads(done.stdout)["functions"]["countdown"]
    assert function["url"]["invokeMode"] == "RESPONSE_STREAM"
    wrong = examples / "serverless/serverless.yml"
    wrong.write_text(wrong.read_text().replace("invokeMode", "invokeMood"))
    with pytest.raises(AssertionError, match="unrecognized property 'invokeMood'"):
        run(printed, examples / "serverless", environment)


@pytest.mark.long
def test_compose_accepts_its_file(tmp_path: Path) -> None:
    python = install(["podman-compose"], tmp_path / "venv")
    read = ["-f", "compose.yaml", "config"]
    done = run([str(python.with_name("podman-compose")), *read], EXAMPLES / "compose")
    assert yaml.safe_load(done.stdout)["services"]["countdown"]["read_only"] is True
