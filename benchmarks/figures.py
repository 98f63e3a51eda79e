"""The arithmetic: what one run of a subject says, and how two subjects compare over many runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Figures = dict[str, float]
"""What one run of one subject says, by the name of the figure."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def read_figures(raw: Mapping[str, Any]) -> Figures:
    """The figures in what the stub printed; times in nanoseconds, memory in KiB."""
    figures = {name: float(value) for name, value in raw.items() if not isinstance(value, list)}
    # A bare interpreter asks for nothing: it is ready when it has run and gone.
    if "exit_ns" in figures:
        figures["next_ns"] = figures.pop("exit_ns")
    for name in ("cycle_ns", "response_ns", "first_byte_ns"):
        if raw.get(name):
            figures[f"{name}_p50"] = float(median(raw[name]))
            figures[f"{name}_p99"] = float(percentile(raw[name], 0.99))
    return figures


@dataclass(frozen=True)
class Comparison:
    """One subject against another over the same rounds."""

    value: float
    """Ratio (or difference) of the two medians."""
    low: float
    """Lower quartile of the rounds' own ratios (or differences): how far to trust `value`."""
    high: float
    """Upper quartile of the same."""


def compare(of: Sequence[float], to: Sequence[float], *, as_difference: bool = False) -> Comparison:
    """Compares runs of one subject with the runs of another in the same rounds.

    Raises:
        ValueError: the two do not have the same number of rounds, or none.
    """
    if as_difference:
        value = median(of) - median(to)
        rounds = [a - b for a, b in zip(of, to, strict=True)]
    else:
        value = median(of) / median(to)
        rounds = [a / b for a, b in zip(of, to, strict=True)]
    return Comparison(value, percentile(rounds, 0.25), percentile(rounds, 0.75))
