"""Types for argparse: each converts an argument's text, or raises an error that says why not."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path


def number(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    """The type of a number from ``low`` to ``high``."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return value

    return read


port = number(int, 0, 65_535)


def folder(text: str) -> Path:
    """A folder that exists, as an absolute path."""
    path = Path(text)
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "is not a folder: it does not exist"
        raise argparse.ArgumentTypeError(f"{text} {what}")
    return path.resolve()
