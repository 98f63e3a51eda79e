"""docs/container.md says what works: its templates and commands, judged by their own tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.containers import output
from support.documents import blocks

BLOCKS = blocks("container.md")

# A stand-in for every command: notes its arguments, one line each time, and answers as AWS might.
RECORDER = """#!/bin/sh
printf '%s\\037' "${0##*/}" "$@" >> "$RECORD"
printf '\\n' >> "$RECORD"
echo registry.example/hello
"""


def tool(name: str) -> str:
    """A program of the environment that runs this."""
    return str(Path(sys.executable).with_name(name))


def commands(tmp_path: Path) -> list[list[str]]:
    """What the page's shell blocks would run, taken apart by a real shell."""
    programs, record = tmp_path / "bin", tmp_path / "record"
    programs.mkdir()
    for name in ("aws", "docker"):
        (programs / name).write_text(RECORDER)
        (programs / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:/usr/bin:/bin", "RECORD": str(record)}
    script = "set -eu\n" + "".join(BLOCKS["aws"])
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    return [line.split("\x1f")[:-1] for line in record.read_text().splitlines()]


def test_aws_accepts_the_commands(tmp_path: Path) -> None:
    """awscli checks all names and values of parameters before it finds that nobody listens."""
    aws = [words for words in commands(tmp_path) if words[0] == "aws"]
    assert {" ".join(words[1:3]) for words in aws} >= {
        "ecr create-repository",
        "lambda create-function",
        "lambda update-function-code",
        "lambda invoke",
    }
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "1",
        "HOME": str(tmp_path),
    }
    for _, *words in aws:
        done = subprocess.run(
            [tool("aws"), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Could not connect to the endpoint URL" in done.stderr, (words, done.stderr)


def test_cfn_lint_accepts_the_sam_template(tmp_path: Path) -> None:
    (template,) = BLOCKS["template.yaml"]
    (tmp_path / "template.yaml").write_text(template)
    lint = [tool("cfn-lint"), "--regions", "eu-central-1", "--"]
    output([*lint, str(tmp_path / "template.yaml")])


def test_terraform_s_grammar_accepts_the_configuration(tmp_path: Path) -> None:
    (configuration,) = BLOCKS["main.tf"]
    (tmp_path / "main.tf").write_text(configuration)
    parsed = json.loads(output([tool("hcl2tojson"), str(tmp_path / "main.tf")]))
    kinds = {kind.strip('"') for resource in parsed["resource"] for kind in resource}
    assert kinds == {"aws_iam_role", "aws_iam_role_policy_attachment", "aws_lambda_function"}
