"""Recursive loop detection: how often a function has been invoked by its own doing.

Source: AWS, 'Use Lambda recursive loop detection to prevent infinite loops' (Lambda developer
guide, invocation-recursion). The count travels in the trace header, in a field ``Lineage``: the
SDKs send the header of the invocation on to SQS, SNS and Lambda. AWS does not document the field;
here it is ``HASH:COUNT`` for each function of the chain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import unquote

from lambda_emulator.invocation import new_trace_id

LIMIT = 16
"""The platform runs about this many invocations of a chain and refuses the next one."""

MESSAGE = (
    "Lambda has detected your function being invoked in a recursive loop with other AWS resources "
    "and stopped your function's invocation."
)


@dataclass(frozen=True)
class Hop:
    """The next invocation of a chain: its trace header, and which of the function's it is."""

    trace_id: str
    count: int

    @property
    def stopped(self) -> bool:
        """The function must not be invoked: it runs in a loop."""
        return self.count > LIMIT


def next_hop(trace_id: str | None, function: str) -> Hop:
    """The hop that invoking ``function`` (its name) because of ``trace_id`` would be.

    Without a trace header the invocation begins a chain.
    """
    fields = _fields(trace_id or new_trace_id())
    lineage = _counts(fields.get("Lineage", ""))
    key = hashlib.sha256(function.encode()).hexdigest()[:8]
    lineage[key] = lineage.get(key, 0) + 1
    fields["Lineage"] = "|".join(f"{one}:{count}" for one, count in lineage.items())
    return Hop(";".join(f"{name}={value}" for name, value in fields.items()), lineage[key])


def _fields(trace_id: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in unquote(trace_id).split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if value}


def _counts(lineage: str) -> dict[str, int]:
    """The counts by hash. What another implementation has put in front of them is dropped."""
    counts = {}
    for entry in lineage.split("|"):
        *_, key, count = ("", *entry.split(":"))
        if key and count.isdecimal():
            counts[key] = int(count)
    return counts
