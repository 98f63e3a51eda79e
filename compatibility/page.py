"""docs/compatibility.md, from what became of the libraries."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from compatibility.trial import WORKS, Outcome

PAGE = Path(__file__).resolve().parent.parent / "docs/compatibility.md"
_HEAD = """\
# Compatibility

Libraries that lean on the Lambda runtime, in the newest version that the index had, each with the
set-up of its own documentation, unchanged: on this runtime, and on awslambdaric {peer} for
comparison. One command tries them all and writes this page:

```sh
make compatibility
```

Each is installed into an environment of its own, and a function of a few lines that uses it
(`compatibility/libraries.toml`) gets two events from the [emulator](emulator.md). It works if the
answers are right and what the library is for has happened: the log has the line, the vendor's
server, for which a local one stands in, has got the report. What each of them needs of a runtime,
and what AWS's does differently, is in [differences](differences.md).

Tried on {day}, with CPython {python}.

| Library | Version | Set-up | Here | awslambdaric |
|---|---|---|---|---|
"""


def render(outcomes: Sequence[Outcome], python: str) -> str:
    """The page's text."""
    day = datetime.datetime.now(datetime.UTC).date()
    head = _HEAD.format(day=day, python=python, peer=version("awslambdaric"))
    return head + "".join(_row(each) for each in outcomes)


def _row(outcome: Outcome) -> str:
    library = outcome.library
    cells = [_cell(outcome.results[name]) for name in outcome.results]
    return f"| {library.name} | {outcome.version} | {library.setup} | {' | '.join(cells)} |\n"


def _cell(result: str) -> str:
    if result == WORKS:
        return result
    return "does not: " + result.replace("|", "\\|").replace("\n", " ")
