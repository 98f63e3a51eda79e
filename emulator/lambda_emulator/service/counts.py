"""What Lambda counts about functions, under the names of its CloudWatch metrics.

Source: AWS, 'Types of metrics for Lambda functions'. Durations are in milliseconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any


class Counts:
    """The counts of every function since the start."""

    def __init__(self) -> None:
        self._sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._highest: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def add(self, function: str, metric: str, number: int = 1) -> None:
        """Count."""
        self._sums[function][metric] += number

    def highest(self, function: str, metric: str, value: float) -> None:
        """Note a value of a metric of which the maximum tells something."""
        values = self._highest[function]
        values[metric] = max(value, values.get(metric, 0.0))

    def document(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """The counts of these functions and of all that have been called."""
        return {
            name: {
                "Invocations": 0,
                "Errors": 0,
                "Throttles": 0,
                **self._sums.get(name, {}),
                **{metric: round(n, 3) for metric, n in self._highest.get(name, {}).items()},
            }
            for name in sorted({*names, *self._sums, *self._highest})
        }
