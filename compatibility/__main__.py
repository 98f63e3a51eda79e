"""`make compatibility`: tries the libraries and writes docs/compatibility.md.

    python -m compatibility [NAME …]

With names, only those are tried and no page is written. The exit status is 1 if a library works on
awslambdaric and not here.
"""

import argparse
import platform
import sys
from concurrent.futures import ThreadPoolExecutor

from compatibility import libraries, page
from compatibility.libraries import Library
from compatibility.trial import ROOT, WORKS, Outcome, TrialError, attempt

_WORK = ROOT / "build/compatibility"
_AT_ONCE = 2


def main() -> int:
    """Try, tell and write."""
    parser = argparse.ArgumentParser(prog="python -m compatibility", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="as in the table, or in part")
    names = [name.lower() for name in parser.parse_args().names]
    every = libraries.read()
    chosen = [each for each in every if not names or any(n in each.name.lower() for n in names)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = [each for each in pool.map(_attempt, chosen) if each]
    if not names and len(outcomes) == len(every):
        page.PAGE.write_text(page.render(outcomes, platform.python_version()))
        print(page.PAGE.relative_to(ROOT))
    worse = [each for each in outcomes if _is_worse(each)]
    return 1 if worse or len(outcomes) < len(chosen) else 0


def _attempt(library: Library) -> Outcome | None:
    try:
        outcome = attempt(library, _WORK)
    except TrialError as error:
        print(f"{library.name}: {error}", file=sys.stderr, flush=True)
        return None
    for runtime, result in outcome.results.items():
        print(f"{outcome.version} on {runtime}: {result}", flush=True)
    return outcome


def _is_worse(outcome: Outcome) -> bool:
    here, there = outcome.results.values()
    return here != WORKS and there == WORKS


if __name__ == "__main__":
    sys.exit(main())
