"""The managed layer on this machine's Pythons, started as AWS's images start theirs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_rie.rie import Launch
from lambda_rie.roots import PLATFORM, TASK
from layer import pythons
from layer.run import unzip
from layer.target import MANAGED_WITH_ORJSON
from support import machine as abilities
from support import packs
from support.contract import check
from support.contract.cases import all_cases
from support.contract.session import Case, Session
from support.layers import install, machine, pinned
from support.runtimes import Runtime, copy_handlers

# The start script of AWS's images, as far as wrappers go.
START = """#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python{minor}
export LANG=en_US.UTF-8 TZ=:UTC
export LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime PYTHONPATH=/var/runtime
if [ -z "$AWS_LAMBDA_EXEC_WRAPPER" ]; then
    exec /var/lang/bin/python{minor} /var/runtime/bootstrap.py
fi
exec "$AWS_LAMBDA_EXEC_WRAPPER" /var/lang/bin/python{minor} /var/runtime/bootstrap.py
"""
WRAPPED = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/lambda-runtime"}
PEER = """import os, sys
sys.path.insert(0, "/var/task")
from awslambdaric.__main__ import main
main([sys.argv[0], os.environ["_HANDLER"]])
"""
# With a standard library at lib/python3.x beside their bin, as AWS's have theirs.
FOUND = pythons.installed()
# What a start by another script could change; the rest is tested on the layer with the interpreter.
# Two cases list all variables, of which AWS_LAMBDA_EXEC_WRAPPER is one.
CASES = [
    case
    for case in all_cases()
    if case.id.startswith(("environment", "init", "form"))
    and case.id not in ("environment-variables", "environment-named")
]


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    abilities.need_namespaces()


@pytest.fixture(scope="module")
def opt(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzip(layers / "lambda-runtime-managed.zip", tmp_path_factory.mktemp("opt"))


def runtime(minor: str, opt: Path, folder: Path) -> Runtime:
    """The managed runtime of one Python version, with the layer and its variable set.

    In a mount namespace with /var/lang, /var/runtime, /var/task and /opt as on Lambda; the rest is
    this machine.
    """
    answer = subprocess.run(
        [FOUND[minor][0], "-c", "import sys; print(sys.base_prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    lang = Path(answer.stdout.strip())
    own = folder / "runtime"
    own.mkdir(exist_ok=True)
    (own / "start").write_text(START.format(minor=minor))
    (own / "start").chmod(0o755)

    def enclose(launch: Launch) -> Launch:
        binds = {"/var/lang": lang, "/var/runtime": own, "/opt": opt, TASK: launch.folder}
        steps = ["mount -t tmpfs tmpfs /var"]
        for place, source in binds.items():
            steps += [f"mkdir -p {place}", f"mount --bind {shlex.quote(str(source))} {place}"]
        steps += [f"cd {TASK}", f"exec {shlex.join(launch.argv)}"]
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        argv = (*command, "/bin/sh", "-c", " && ".join(steps))
        return Launch(argv, {**PLATFORM, **launch.environment}, Path("/"))

    return Runtime(f"managed {minor}", ("/var/runtime/start",), WRAPPED, TASK, enclose)


@pytest.mark.parametrize("minor", FOUND)
def test_a_function(minor: str, opt: Path, task: Path, tmp_path: Path) -> None:
    with runtime(minor, opt, tmp_path).function("app.facts", task, {}) as rie:
        reply = rie.invoke(b'{"a": 1}')
    facts: dict[str, Any] = json.loads(reply.body)
    assert facts["event"] == {"a": 1}, reply
    assert facts["version"] == [int(part) for part in minor.split(".")]
    assert facts["executable"].startswith("/var/lang/bin/python3")
    assert facts["environment"] == f"AWS_Lambda_python{minor}"
    assert facts["runtime"] == "/opt/runtime/lambda_runtime/__init__.py"
    assert facts["path"][0] == TASK
    # boto3 and all else that AWS installs stay in reach.
    assert f"/var/lang/lib/python{minor}/site-packages" in facts["path"]


@pytest.mark.parametrize("minor", FOUND)
def test_orjson(minor: str, opt: Path) -> None:
    """There is one for most; a user's own, or AWS's, would go before it."""
    code = f"import sys; sys.path.insert(0, {str(opt / 'runtime')!r}); import orjson; "
    code += "print(orjson.dumps([1]), orjson.__file__)"
    command = [FOUND[minor][0], "-I", "-S", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if minor in MANAGED_WITH_ORJSON:
        assert result.stdout.split() == ["b'[1]'", f"{opt}/runtime/orjson/__init__.py"]
    else:
        assert "ModuleNotFoundError" in result.stderr


@pytest.mark.parametrize("minor", FOUND)
def test_the_core_is_used_from_the_second_invocation_on(
    minor: str, opt: Path, task: Path, tmp_path: Path
) -> None:
    with runtime(minor, opt, tmp_path).function("app.core", task, {}) as rie:
        seen = [json.loads(rie.invoke(b"{}").body) for _ in range(3)]
    library = f"/opt/runtime/lambda_runtime/core.{machine()}.so"
    assert seen == [[], [library], [library]]


@pytest.mark.parametrize("minor", FOUND)
def test_large_events(minor: str, opt: Path, task: Path, tmp_path: Path) -> None:
    """With orjson and without."""
    items = [{"id": number, "name": "x" * 40} for number in range(50_000)]
    with runtime(minor, opt, tmp_path).function("app.large", task, {}) as rie:
        replies = [rie.invoke(json.dumps({"items": items}).encode()) for _ in range(2)]
    assert json.loads(replies[1].body)["count"] == 50_000


@pytest.mark.parametrize("minor", FOUND)
def test_cold_modules_come_from_the_bundle(
    minor: str, opt: Path, task: Path, tmp_path: Path
) -> None:
    with runtime(minor, opt, tmp_path).function("app.loaded", task, {}) as rie:
        loaded = json.loads(rie.invoke(b"{}").body)
    assert {loader for _, loader in loaded.values()} == {"BundleLoader"}


@pytest.mark.parametrize("minor", FOUND)
def test_a_pack_is_used(minor: str, opt: Path, tmp_path: Path) -> None:
    """Of one module only the pack has the code."""
    task = tmp_path / "packed"
    packs.write_files(
        task,
        {
            "app.py": "import acme.core, json\ndef handler(e, c): return acme.core.answer(), e\n",
        },
    )
    packs.install_distribution(task, "acme", "1.0", packs.ACME, compiled=False)
    packs.pack(task, "--handler", "app.handler", "--in-place", python=FOUND[minor][0])
    packs.leave_to_the_pack(task, "acme/core.py")
    with runtime(minor, opt, tmp_path).function("app.handler", task, {}) as rie:
        reply = rie.invoke(b'{"a": 1}')
        assert json.loads(reply.body) == [[True, 2, 1], {"a": 1}], reply
        assert b"is not used" not in reply.log


@pytest.fixture(scope="module")
def sessions(
    opt: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Session, Session]]:
    """The contract's functions in one image, with AWS's own client and with the layer instead."""
    minor = "{}.{}".format(*sys.version_info)
    folder = tmp_path_factory.mktemp("image")
    task = copy_handlers(tmp_path_factory.mktemp("contract") / "task")
    install(task, machine(), [pinned("httpx")], minor)
    install(folder / "runtime", machine(), [pinned("awslambdaric")], minor)
    (folder / "runtime/bootstrap.py").write_text(PEER)
    image = runtime(minor, opt, folder)
    with Session(replace(image, environment={}), task) as theirs, Session(image, task) as ours:
        yield theirs, ours


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case: Case, sessions: tuple[Session, Session]) -> None:
    check.same(case, *sessions)
