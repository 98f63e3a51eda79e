"""The Dockerfiles of docs/container.md with dependencies, built as they stand and run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from container import __main__ as image
from container.engine import Engine
from lambda_rie.rie import Rie
from layer.target import DEFAULT_PYTHON
from layer.toolchain import version
from support.containers import build_user_image, output, run, started, trust
from support.documents import blocks
from support.paths import ROOT
from support.runtimes import PLATFORM

# Fixtures build images, which has its own bounds.
pytestmark = pytest.mark.timeout(120, func_only=True)

DOCKERFILES = {name: texts[0] for name, texts in blocks("container.md").items()}
LOCKED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all")

# A framework with its dozen of dependencies, one of them in Rust, and a wheel in C++.
REQUIREMENTS = "fastapi==0.165.0\nmangum==0.22.0\ngreenlet==3.5.6\n"

WEB_APP = """
import greenlet
from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()

@app.get("/sum/{count}")
def total(count: int) -> dict[str, int]:
    return {"sum": greenlet.greenlet(sum).switch(range(count))}

handler = Mangum(app, lifespan="off")
"""

REQUEST = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/sum/5",
    "rawQueryString": "",
    "headers": {"host": "example"},
    "requestContext": {
        "http": {
            "method": "GET",
            "path": "/sum/5",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "test",
        },
        "stage": "$default",
    },
    "isBase64Encoded": False,
}

ECHO = """
import lambda_runtime

def handler(event, context):
    return [event, lambda_runtime.__file__]
"""


def dockerfile(name: str, python: str) -> str:
    """A Dockerfile of the page, for one of the Pythons."""
    return DOCKERFILES[name].replace(f"python{DEFAULT_PYTHON}", f"python{python}")


@pytest.fixture(scope="module")
def web_app(
    engine: Engine, python: str, toolbox: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    return build_user_image(
        engine,
        tmp_path_factory.mktemp("two-stages"),
        dockerfile("two-stages", python),
        {"app.py": WEB_APP, "requirements.txt": REQUIREMENTS},
        trust(),
    )


def test_web_app_with_dependencies_in_two_stages(engine: Engine, web_app: str) -> None:
    with started(engine, web_app, options=LOCKED) as container:
        answer = container.invoke(REQUEST)
    assert (answer["statusCode"], answer["body"]) == (200, '{"sum":10}')


def test_byte_code_of_dependencies_outlives_the_copy(engine: Engine, web_app: str) -> None:
    options = (*LOCKED, "--entrypoint", "/usr/bin/python3")
    logs = run(engine, web_app, "-v", "-c", "import app", options=options)
    sources = [line for line in logs.splitlines() if line.startswith("# code object from ")]
    assert len(sources) > 300
    assert [line for line in sources if "__pycache__" not in line] == []


def test_dependencies_for_the_other_architecture(
    engine: Engine, python: str, toolbox: str, tmp_path: Path
) -> None:
    image.base(engine, "arm64", python)
    tag = build_user_image(
        engine,
        tmp_path,
        dockerfile("other-architecture", python),
        {"app.py": ECHO, "requirements.txt": "pydantic==2.14.3\n"},
        trust(),
    )
    architecture = output(engine.command("inspect", "--format", "{{.Architecture}}", tag))
    assert architecture.strip() == "arm64"


def test_a_pack_that_an_image_is_built_with(
    engine: Engine, python: str, base: str, toolbox: str, tmp_path: Path
) -> None:
    """Of one module only the pack has the code."""
    files = {
        "app.py": "import yaml\nVALUE = [yaml.safe_load('a: 1'), yaml.events.__file__]\n"
        "def handler(event, context):\n    return [VALUE, event]\n",
        "requirements.txt": "pyyaml==6.0.4\n",
    }
    (command,) = blocks("pack.md")["packed"]
    gone = "rm /var/task/yaml/events.py /var/task/yaml/__pycache__/events.*"
    steps = dockerfile("two-stages", python).split("\nFROM ")
    steps[0] = f"{steps[0].rstrip()}\n{command.rstrip()}\nRUN {gone}\n"
    tag = build_user_image(engine, tmp_path, "\nFROM ".join(steps), files, trust())
    with started(engine, tag, options=LOCKED) as container:
        answer = container.invoke({"b": 2})
    assert answer == [[{"a": 1}, "/var/task/yaml/events.py"], {"b": 2}]


def test_a_layer_s_folder_copied_to_opt(
    engine: Engine, python: str, base: str, tmp_path: Path
) -> None:
    files = {
        "layer/python/layered.py": "ANSWER = 42\n",
        "app.py": "import layered\ndef handler(event, context):\n    return layered.ANSWER\n",
    }
    tag = build_user_image(engine, tmp_path, dockerfile("layers", python), files)
    with started(engine, tag, options=LOCKED) as container:
        assert container.invoke({}) == 42


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution's wheel, made as docs/container.md says."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    output([*pip, "--no-deps", "--wheel-dir", str(folder), str(ROOT)])
    (made,) = folder.glob("lambda_runtime-*-py3-none-any.whl")
    return made


def test_wheel_on_an_image_of_one_s_own(
    engine: Engine, python: str, toolbox: str, wheel: Path, tmp_path: Path
) -> None:
    """The image with pip stands in for python:3.13-slim."""
    own = DOCKERFILES["own-image"].replace("FROM python:3.13-slim", f"FROM {toolbox}")
    shutil.copy(wheel, tmp_path)
    tag = build_user_image(engine, tmp_path, own, {"app.py": ECHO}, trust())
    with started(engine, tag) as container:
        event, file = container.invoke({"a": 1})
    assert event == {"a": 1}
    assert file.startswith(f"/usr/local/lib/python{python}/")
    told = run(engine, tag, "--version", options=LOCKED)
    assert told.strip() == f"lambda-runtime {version()}"


def test_the_image_of_the_compose_file(
    engine: Engine, python: str, base: str, tmp_path: Path
) -> None:
    examples = ROOT / "examples/infrastructure"
    text = (examples / "compose/Dockerfile").read_text()
    text = text.replace(f"python{DEFAULT_PYTHON}", f"python{python}")
    source = (examples / "function/app.py").read_text()
    tag = build_user_image(engine, tmp_path, text, {"app.py": source})
    with started(engine, tag, options=LOCKED) as container:
        answer = container.invoke({"queryStringParameters": {"start": "1"}})
    assert "1\n0\n" in answer["body"]


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it, and what the wheel asks for."""
    made = tmp_path_factory.mktemp("clean") / "environment"
    output([sys.executable, "-m", "venv", str(made)])
    pip = [str(made / "bin/python"), "-m", "pip", "install", "--quiet", str(wheel)]
    output([*pip, "--disable-pip-version-check"])
    return made


@pytest.mark.parametrize("entry", ["lambda-runtime", "python -m lambda_runtime"])
def test_wheel_in_a_clean_environment(environment: Path, tmp_path: Path, entry: str) -> None:
    (tmp_path / "app.py").write_text(ECHO)
    program, *arguments = entry.split()
    command = (str(environment / "bin" / program), *arguments, "app.handler")
    with Rie(command, tmp_path, PLATFORM) as rie:
        reply = rie.invoke(b'{"a": 1}')
    assert reply.status == 200, reply.log
    assert reply.body.startswith(b'[{"a":1},"' + str(environment).encode())
