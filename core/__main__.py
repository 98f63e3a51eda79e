"""Compile the core, and put it into the checkout's package for this machine.

With ``--output FOLDER``, put the libraries for both architectures there instead.
"""

import argparse
import sys
from pathlib import Path

from core import build


def main(arguments: list[str] | None = None) -> int:
    """Compile. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m core", description=__doc__)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for both architectures")
    output: Path | None = parser.parse_args(arguments).output
    try:
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            made = build.add_to(output)
        else:
            made = [place for place in [build.add_to_checkout()] if place is not None]
    except (build.CoreError, OSError) as error:
        print(f"core: {error}", file=sys.stderr)
        return 1
    for path in made:
        print(f"{path} ({path.stat().st_size} bytes)")
    if not made:
        print("core: there is none for this kind of machine; the runtime does without")
    return 0


if __name__ == "__main__":
    sys.exit(main())
