"""Turns the runs into the table, as JSON and as Markdown, and inserts it into the documentation."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.figures import Comparison, compare
from benchmarks.measure import Runs
from benchmarks.scenarios import LANGUAGES, ROWS, Row
from benchmarks.subjects import (
    ADAPTER,
    BARE,
    C_CLIENT,
    HTTP_CLIENT,
    HTTPX,
    OURS,
    PEER,
    WEB_ADAPTER,
)

COLUMNS = (OURS, PEER, HTTP_CLIENT, HTTPX, C_CLIENT, BARE)
PEER_COLUMNS = (*LANGUAGES, ADAPTER, WEB_ADAPTER)
BEGIN = "<!-- benchmark: begin -->"
END = "<!-- benchmark: end -->"
PEERS_BEGIN = "<!-- peers: begin -->"
PEERS_END = "<!-- peers: end -->"

_PER_UNIT = {"ms": 1e6, "µs": 1e3, "MB": 1024.0, "calls": 1.0}


@dataclass(frozen=True)
class Line:
    """One line of the table: each subject, compared with the row's reference."""

    row: Row
    reference_median: float
    """In the row's unit."""
    comparisons: Mapping[str, Comparison]

    @property
    def reached(self) -> bool | None:
        """Whether this runtime is within the limit; None without a limit."""
        if self.row.limit is None:
            return None
        found = self.comparisons[OURS]
        return (found.surely_to if self.row.surely else found.value) <= self.row.limit


def lines_of(runs: Mapping[str, Runs], rows: tuple[Row, ...] = ROWS) -> list[Line]:
    """Make the table's lines from the runs of each scenario."""
    found = (_line(row, runs[row.scenario]) for row in rows if row.scenario in runs)
    return [line for line in found if line is not None]


def _line(row: Row, runs: Runs) -> Line | None:
    """The row's line; None if its reference could not be had on this machine."""
    values = {
        subject: [figures[row.figure] for figures in rounds]
        for subject, rounds in runs.items()
        if rounds and row.figure in rounds[0]
    }
    reference = values.get(row.reference)
    if reference is None:
        return None
    comparisons = {
        subject: compare(own, reference, as_difference=row.as_difference)
        for subject, own in values.items()
    }
    return Line(row, median(reference) / _PER_UNIT[row.unit], comparisons)


def to_json(lines: list[Line], about: Mapping[str, str], runs: Mapping[str, Runs]) -> Any:
    """Make a JSON document of all results."""
    return {
        "about": dict(about),
        "rows": [
            {
                "title": line.row.title,
                "reference": line.row.reference,
                "reference_median": line.reference_median,
                "unit": line.row.unit,
                "kind": "difference" if line.row.as_difference else "ratio",
                "limit": line.row.limit,
                "reached": line.reached,
                "subjects": {name: vars(value) for name, value in line.comparisons.items()},
            }
            for line in lines
        ],
        "medians": {
            scenario: {subject: _medians(rounds) for subject, rounds in of_scenario.items()}
            for scenario, of_scenario in runs.items()
        },
    }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(figures[name] for figures in rounds) for name in rounds[0]}


def to_markdown(
    lines: list[Line], about: Mapping[str, str], columns: tuple[str, ...] = COLUMNS
) -> str:
    """Make the Markdown table, under a line that describes the machine and the interpreter."""
    head = ["", *(_column_title(name) for name in columns), "1.00 is", "at most", ""]
    rule = ["---", *("--:" for _ in head[1:-1]), ":-:"]
    measured = "; ".join(f"{name}: {value}" for name, value in about.items())
    rows = [_cells(line, columns) for line in lines]
    return "\n".join([measured + ".", "", *map(_table_line, [head, rule, *rows])])


def _column_title(name: str) -> str:
    return f"**{name}**" if name == OURS else name


def _table_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(line: Line, columns: tuple[str, ...]) -> list[str]:
    row = line.row
    values = [_cell(line, name) for name in columns]
    unit = f"{line.reference_median:.3g} {row.unit}" if row.unit != "calls" else "—"
    limit = "" if row.limit is None else _number(row, row.limit)
    verdict = {None: "", True: "✓", False: "✗"}[line.reached]
    return [row.title, *values, unit, limit, verdict]


def _cell(line: Line, name: str) -> str:
    if name not in line.comparisons:
        return ""
    found = line.comparisons[name]
    if name != OURS:
        return _number(line.row, found.value)
    ends = (found.surely_from, found.surely_to) if line.row.surely else (found.low, found.high)
    low, high = (_number(line.row, end) for end in ends)
    spread = f" <sub>{low}–{high}</sub>" if low != high else ""  # noqa: RUF001
    return f"**{_number(line.row, found.value)}**{spread}"


def _number(row: Row, value: float) -> str:
    if row.as_difference:
        return f"{value:+.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def insert(document: str, table: str, begin_mark: str = BEGIN, end_mark: str = END) -> str:
    """Return the document with the table between its two marks.

    Raises ValueError if the marks are missing.
    """
    before, begin, rest = document.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ValueError(f"the marks {begin_mark} and {end_mark} are missing")
    return f"{before}{begin}\n{table}\n{end}{after}"
