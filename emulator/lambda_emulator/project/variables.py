"""The variables that a function is given: of the developer's own only those meant for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path

from lambda_emulator.project.errors import UsageError

DEFAULT_REGION = "us-east-1"
_SET_BY_LAMBDA = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV")
_DEFAULTS = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def inherited(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of the emulator's own variables every function gets: PATH and ``AWS_*``.

    Those that Lambda sets itself are left out, and so is everything else: what works because of a
    variable of this machine would fail in Lambda.
    """
    passed = {
        name: value
        for name, value in own.items()
        if name.startswith("AWS_")
        and not name.startswith("AWS_LAMBDA_")
        and name not in _SET_BY_LAMBDA
    }
    return {**_DEFAULTS, **{name: own[name] for name in _DEFAULTS if name in own}, **passed}


def region(chosen: str | None) -> str:
    """The region that was asked for, that of the AWS settings, or us-east-1."""
    own = os.environ
    return chosen or own.get("AWS_REGION") or own.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def gather(files: Iterable[Path], pairs: Iterable[str]) -> dict[str, str]:
    """The variables of env files, then those given as NAME=VALUE, or as NAME for its value here.

    Raises UsageError.
    """
    variables: dict[str, str] = {}
    for file in files:
        variables |= read_file(file)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or "\0" in pair:
            raise UsageError(f"--env: {pair!r} is not NAME=VALUE, nor a NAME that is set here")
        if not equals:
            if name not in os.environ:
                raise UsageError(f"--env: {name!r} is not NAME=VALUE, nor a NAME that is set here")
            value = os.environ[name]
        variables[name] = value
    return variables


def read_file(file: Path) -> dict[str, str]:
    """The variables of one env file, in the form that docker and python-dotenv know.

    Raises UsageError.
    """
    from dotenv.parser import parse_stream

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--env-file {file}: cannot be read: {error}") from error
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            line = binding.original.string.strip()
            raise UsageError(
                f"--env-file {file}, line {binding.original.line}: {line!r} is not NAME=VALUE"
            )
    return _values(text)


def _values(text: str) -> dict[str, str]:
    from dotenv import dotenv_values

    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}
