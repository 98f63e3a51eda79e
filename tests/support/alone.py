"""Runs a function in a process, with a Runtime API; the test gives events to it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import transports
from support.polls import Polls
from support.process import BOOTSTRAP


@contextmanager
def served(
    folder: Path,
    code: str,
    bootstrap: Path = BOOTSTRAP,
    environment: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[tuple[Polls, "subprocess.Popen[bytes]"]]:
    """Run a function with this code; yield its Runtime API and its process."""
    (folder / "app.py").write_text(code)
    polls = Polls()
    process = subprocess.Popen(
        [sys.executable, "-S", str(bootstrap)],
        env={
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": polls.address,
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": "app.handler",
            **transports.variables(),
            **(environment or {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=pass_fds,
    )
    try:
        yield polls, process
    finally:
        process.kill()
        process.wait(10)
        polls.close()
        assert process.stdout is not None
        process.stdout.close()
