"""A function's environment variables; only a few come from the developer's own."""

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
    """The emulator's own variables that every function gets: PATH and ``AWS_*``.

    Variables that Lambda itself sets are left out, and all others too: a function that relies on a
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
    """The region: ``chosen``, or that of the AWS settings, or us-east-1."""
    own = os.environ
    return chosen or own.get("AWS_REGION") or own.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def gather(files: Iterable[Path], pairs: Iterable[str]) -> dict[str, str]:
    """The variables of env files, then those of ``pairs``: NAME=VALUE, or NAME for the value here.

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
    """The variables of one env file, in the format of docker and python-dotenv.

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
