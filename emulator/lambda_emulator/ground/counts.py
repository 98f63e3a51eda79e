"""Lambda's counts, by the names of its CloudWatch metrics, as one JSON document.

Source: AWS, 'Types of metrics for Lambda functions' (Lambda developer guide,
monitoring-metrics-types).

Whoever runs functions counts invocations, errors and throttles; the event queue and the mappings
count what is theirs. ``document`` is what a JSON endpoint shows::

    {"functions": {"name": {"Invocations": 3, "AsyncEventAge": {"Count": 3, "Sum": 12.0, …}}},
     "eventSourceMappings": {"uuid": {"PolledEventCount": 10}}}
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any


@dataclass
class Statistic:
    """What CloudWatch keeps of a metric that is measured: how often, sum, least and most."""

    count: int = 0
    sum: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0

    def add(self, value: float) -> None:
        """Add a measurement."""
        self.minimum = value if not self.count else min(self.minimum, value)
        self.maximum = max(self.maximum, value)
        self.count += 1
        self.sum += value

    def document(self) -> dict[str, float]:
        """As JSON, with CloudWatch's words."""
        average = self.sum / self.count if self.count else 0.0
        return {
            "Count": self.count,
            "Sum": self.sum,
            "Minimum": self.minimum,
            "Maximum": self.maximum,
            "Average": average,
        }


class _Dimension:
    """The metrics of one thing."""

    def __init__(self) -> None:
        self.counters: defaultdict[str, int] = defaultdict(int)
        self.statistics: defaultdict[str, Statistic] = defaultdict(Statistic)

    def document(self) -> dict[str, Any]:
        """The counters, then the measurements."""
        measured = {name: one.document() for name, one in self.statistics.items()}
        return dict(self.counters) | measured


class Counts:
    """The counts of functions, by name, and of event source mappings, by UUID."""

    def __init__(self) -> None:
        self._functions: defaultdict[str, _Dimension] = defaultdict(_Dimension)
        self._mappings: defaultdict[str, _Dimension] = defaultdict(_Dimension)

    def add(self, function: str, metric: str, number: int = 1) -> None:
        """Count for a function."""
        self._functions[function].counters[metric] += number

    def measure(self, function: str, metric: str, value: float) -> None:
        """Note a measurement of a function; ages and durations are in milliseconds."""
        self._functions[function].statistics[metric].add(value)

    def add_to_mapping(self, uuid: str, metric: str, number: int = 1) -> None:
        """Count for an event source mapping."""
        self._mappings[uuid].counters[metric] += number

    def of(self, function: str) -> dict[str, Any]:
        """The metrics of one function."""
        return self._functions[function].document()

    def of_mapping(self, uuid: str) -> dict[str, Any]:
        """The metrics of one event source mapping."""
        return self._mappings[uuid].document()

    def document(self) -> dict[str, Any]:
        """All of it."""
        return {
            "functions": {name: one.document() for name, one in self._functions.items()},
            "eventSourceMappings": {uuid: one.document() for uuid, one in self._mappings.items()},
        }
