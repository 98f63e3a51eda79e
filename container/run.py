"""`make run IMAGE=1`: runs a function as `make run` does, but in the container base image."""

import os
import sys
import uuid
from collections.abc import Callable, Mapping

from container import __main__ as image
from container.engine import ContainerError, Engine, choose
from lambda_rie import run
from lambda_rie.rie import Launch, Rie
from layer.errors import LayerError
from layer.run import python_and_rest

BOOTSTRAP = "/var/runtime/bootstrap"
TASK_ROOT = "/var/task"
PACKAGES = "/opt/python"
"""The path of a layer's packages in the container."""

# Variables that belong to this machine and not to the function.
MACHINES_OWN = (
    *("HOME", "LAMBDA_TASK_ROOT", "LD_LIBRARY_PATH", "LD_PRELOAD", "OLDPWD", "PATH", "PWD"),
    *("PYTHONHOME", "PYTHONPATH", "SHLVL", "TMPDIR", "VIRTUAL_ENV"),
)


def inside(engine: Engine, tag: str, *options: str) -> Callable[[Launch], Launch]:
    """Return a function that moves a launch of RIE into a container of the image.

    The container runs the image's own RIE, at the launch's addresses on this machine. The
    function's folder is the task root there. All folders except /tmp are read-only.
    """

    def enclose(launch: Launch) -> Launch:
        # Pass names only: the values, credentials among them, must not be on the command line.
        settings = [name for name in launch.environment if name not in MACHINES_OWN]
        command = engine.run_command(
            *("--rm", "--name", f"lambda-runtime-{uuid.uuid4().hex[:12]}", "--network", "host"),
            *("--read-only", "--tmpfs", "/tmp", "--volume", f"{launch.folder}:{TASK_ROOT}:ro"),
            *(f"--env={name}" for name in settings),
            *("--entrypoint", "/usr/local/bin/aws-lambda-rie", *options, tag, *launch.argv[1:]),
        )
        # The engine itself needs this machine's variables; they do not reach the container.
        return Launch(tuple(command), {**os.environ, **launch.environment}, launch.folder)

    return enclose


def main() -> int:
    try:
        python, rest = python_and_rest(sys.argv[1:])
        engine = choose(image.STORAGE)
        tag = image.base(engine, python=python)
    except (ContainerError, LayerError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 2

    def in_image(request: run.Request, environment: Mapping[str, str]) -> Rie:
        command = (BOOTSTRAP, request.handler)
        packages = run.packages_of(request, python)
        volume = [] if packages is None else ["--volume", f"{packages}:{PACKAGES}:ro"]
        return Rie(command, request.task, environment, inside(engine, tag, *volume))

    return run.main(rest, on=in_image)


if __name__ == "__main__":
    sys.exit(main())
