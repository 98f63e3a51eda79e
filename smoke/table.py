"""From REPORT lines to one table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from smoke.errors import SmokeError
from smoke.plan import ARCHITECTURES, MEMORIES, Subject

_REPORT = re.compile(r"^REPORT .*?\bDuration: ([\d.]+) ms.*?\bInit Duration: ([\d.]+) ms", re.M)

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Start:
    """What REPORT says of a cold start, in milliseconds."""

    init: float
    call: float


def start_of(log: str) -> Start:
    """Read a log's tail. Raises SmokeError if it has no REPORT line of a cold start."""
    found = _REPORT.search(log)
    if not found:
        raise SmokeError(f"the log has no REPORT line of a cold start: {log.strip()[-300:]}")
    return Start(init=float(found[2]), call=float(found[1]))


def render(subjects: Sequence[Subject], starts: Mapping[Key, Sequence[Start]]) -> str:
    """The medians in Markdown: init and first call."""
    columns = [(arch, memory) for arch in ARCHITECTURES for memory in MEMORIES]
    head = " | ".join(f"{arch}, {memory} MB" for arch, memory in columns)
    lines = [f"| init + first call, ms | {head} |", "|---|" + "--:|" * len(columns)]
    for subject in subjects:
        cells = [_cell(starts.get((subject.name, *column), ())) for column in columns]
        lines.append(f"| {subject.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(starts: Sequence[Start]) -> str:
    if not starts:
        return ""
    init, call = median(each.init for each in starts), median(each.call for each in starts)
    return f"{init:.1f} + {call:.1f}"
