"""The contract suite on the image: what it answers and logs is what awslambdaric does there.

awslambdaric runs on the same interpreter, in the image with pip. One container of each image stays
up, and RIE is started in it anew for every function.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from container.engine import Engine
from container.run import BOOTSTRAP, TASK_ROOT, inside
from lambda_rie.rie import Launch
from support.containers import Container, build_user_image, started, trust
from support.contract import check
from support.contract.cases import again
from support.contract.session import Case, Session
from support.runtimes import Runtime, awslambdaric

# These ask for what only a checkout has: a package of its environment, a program.
ELSEWHERE = {"environment-metadata", "hostile-processes-left"}
REFERENCE = "awslambdaric==4.2.2"
# The first process of a container gets only those signals that it handles.
IDLE = ("-c", "import signal; signal.signal(signal.SIGTERM, lambda *_: exit()); signal.pause()")


def entering(container: Container) -> Launch:
    """The command that starts programs in a running container, without an engine's half second."""
    process = container.inspect("{{.State.Pid}}")
    enter = ("nsenter", "--target", process, "--mount", "--root", "--wd")
    return Launch((*enter, "--setgid", "990", "--setuid", "993"), {}, Path("/"))


@contextmanager
def runtime(
    engine: Engine, python: str, tag: str, argv: tuple[str, ...], task: Path
) -> Iterator[Runtime]:
    """A runtime of an image as the contract suite wants it."""
    major, minor = (int(part) for part in python.split("."))
    version = major, minor
    if os.geteuid():  # only root may enter; a container for each function takes longer
        yield Runtime(tag, argv, {}, TASK_ROOT, inside(engine, tag), version)
        return
    options = ("--read-only", "--tmpfs", "/tmp", "--volume", f"{task}:{TASK_ROOT}:ro")
    entry = ("--entrypoint", f"/usr/bin/python{python}")
    with started(engine, tag, *IDLE, options=(*options, *entry), network="host") as container:
        enter = entering(container)
        names = container.inspect("{{range .Config.Env}}{{println .}}{{end}}").split()
        environment = dict(name.split("=", 1) for name in names)

        def enclose(launch: Launch) -> Launch:
            program = ("/usr/local/bin/aws-lambda-rie", *launch.argv[1:])
            return Launch((*enter.argv, *program), launch.environment, Path("/"))

        yield Runtime(tag, argv, environment, TASK_ROOT, enclose, version)


@pytest.fixture(scope="module")
def subject(engine: Engine, python: str, base: str, task: Path) -> Iterator[Session]:
    """This runtime in the base image."""
    with runtime(engine, python, base, (BOOTSTRAP,), task) as ours, Session(ours, task) as session:
        yield session


@pytest.fixture(scope="module")
def reference(
    engine: Engine,
    python: str,
    toolbox: str,
    subject: Session,
    task: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Session]:
    """AWS's runtime on the same interpreter."""
    dockerfile = f"FROM {toolbox}\nRUN pip install {REFERENCE}\n"
    folder = tmp_path_factory.mktemp("reference")
    tag = build_user_image(engine, folder, dockerfile, {}, trust())
    client = awslambdaric(Path(TASK_ROOT), f"/usr/bin/python{python}")
    with runtime(engine, python, tag, client.argv, task) as theirs:
        # The image's own settings come first, as they do for the subject.
        settings = {
            **client.environment,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{python}",
            **subject.runtime.environment,
        }
        with Session(replace(theirs, environment=settings), task) as session:
            yield session


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize("case", again(but=ELSEWHERE))
def test_same_outcome_in_the_image(case: Case, reference: Session, subject: Session) -> None:
    check.same(case, reference, subject)


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize("case", again(but=ELSEWHERE, alone=True))
def test_next_invocation_succeeds_in_the_image(case: Case, subject: Session) -> None:
    check.recovers(case, subject)
