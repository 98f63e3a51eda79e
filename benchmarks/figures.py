"""The arithmetic: the figures of one run, and the comparison of two subjects over many runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Any

Figures = dict[str, float]
"""The figures of one run of one subject, by name."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least the given ``share`` (0 to 1) does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def read_figures(raw: Mapping[str, Any]) -> Figures:
    """Read the figures that the stub printed. Times are in nanoseconds, memory is in KiB."""
    figures = {name: float(value) for name, value in raw.items() if not isinstance(value, list)}
    # A bare interpreter asks for no event; it is ready when it has exited.
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
    """Lower quartile of the rounds' own ratios (or differences): the spread of ``value``."""
    high: float
    """Upper quartile of the same."""
    surely_from: float
    surely_to: float
    """The 95 % interval of the median of the same."""


def compare(of: Sequence[float], to: Sequence[float], *, as_difference: bool = False) -> Comparison:
    """Compare the runs of one subject with the runs of another in the same rounds.

    Raises ValueError if the numbers of rounds differ, or are 0.
    """
    if as_difference:
        value = median(of) - median(to)
        rounds = [a - b for a, b in zip(of, to, strict=True)]
    else:
        value = median(of) / median(to)
        rounds = [a / b for a, b in zip(of, to, strict=True)]
    return Comparison(value, percentile(rounds, 0.25), percentile(rounds, 0.75), *interval(rounds))


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The interval in which the median lies with this confidence, whatever the distribution.

    Its ends are two of the values: the innermost pair that does it (the binomial distribution says
    how many of so many values lie below the median). With less than six values it is all of them.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside, rank = 0.0, 0
    while rank < (count - 1) // 2:
        outside += 2 * comb(count, rank) / 2**count
        if outside > 1 - confidence:
            break
        rank += 1
    cut = max(0, rank - 1)
    return ordered[cut], ordered[count - 1 - cut]
